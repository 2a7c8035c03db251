"""Which program asks: a hint beside the identity, never a ground for a yes."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from mitmproxy import connection, http

from hoop_mitm.addons.routing import is_ours
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.config import is_loopback
from hoop_mitm.identity import Program
from hoop_mitm.programs import Lookup

logger = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that a request waits for the answer, which takes milliseconds where the machine is not too busy. What comes
later is for the next request of its connection."""

MOST_WAITING = 64
"""Connections whose program is being looked for; of more, nothing is noted."""


class Programs(Stage):
    """Notes the program of a client on this machine. It is looked up once for a connection, on a thread, while TLS is
    still being negotiated. What cannot be found is not noted; nothing is refused for it."""

    at_headers = True

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._lookup = Lookup()
        self._thread = ThreadPoolExecutor(1, "hoop-programs")
        self._found: WeakKeyDictionary[connection.Client, asyncio.Future[Program | None]] = WeakKeyDictionary()
        self._waiting = 0

    def http_connect(self, flow: http.HTTPFlow) -> None:
        if flow.response is None and is_ours(flow.request.host.lower().rstrip(".")):
            self._look_for(flow.client_conn)

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        self._look_for(flow.client_conn)
        if looking := self._found.get(flow.client_conn):
            await asyncio.wait([looking], timeout=PATIENCE)
            ticket.program = looking.result() if looking.done() else None

    def done(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _look_for(self, client: connection.Client) -> None:
        if client in self._found or self._waiting >= MOST_WAITING or not client.peername:
            return
        # Beyond loopback an address is the machine's own only if nobody forwards to it.
        if is_loopback(client.peername[0]) and is_loopback(client.sockname[0]):
            self._waiting += 1
            self._found[client] = asyncio.ensure_future(self._look(client))

    async def _look(self, client: connection.Client) -> Program | None:
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._lookup.program_of, client.peername[:2], client.sockname[:2]
            )
        except Exception as error:  # noqa: BLE001 - it is a hint: whatever becomes of it, the request goes on
            logger.info("A client's program was not found (%s).", type(error).__name__)
            return None
        finally:
            self._waiting -= 1
        # The port may be another's by now.
        return found if client.connected else None
