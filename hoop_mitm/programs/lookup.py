"""From a connection's two addresses to the program that opened it."""

import time
from collections import OrderedDict

import psutil

from hoop_mitm.identity.program import Program
from hoop_mitm.programs.ancestry import family, program
from hoop_mitm.programs.kernel import Address
from hoop_mitm.programs.sockets import Socket, client_socket

PATIENCE = 0.5
"""Seconds of work after which a search among very many processes is given up."""

REMEMBERED = 32
"""Processes that asked lately: who asks once asks again, often on a connection of its own."""


class Lookup:
    """Looks programs up, one at a time. It blocks for some milliseconds: not for an event loop."""

    def __init__(self) -> None:
        self._recent: OrderedDict[int, None] = OrderedDict()

    def program_of(self, client: Address, server: Address) -> Program | None:
        """The program that opened the connection from ``client`` to ``server``, with its parents.

        ``None`` when it cannot be told for certain: it runs elsewhere, belongs to somebody else, or is gone.
        """
        held = client_socket(client, server)
        try:
            return self._holder(held, client, server) if held else None
        except psutil.Error:
            return None

    def _holder(self, held: Socket, client: Address, server: Address) -> Program | None:
        pid = self._search(held)
        if pid is None:
            return None
        processes = family(psutil.Process(pid))
        # A child that was born with the socket is not the one that opened it.
        place = next((place for place, each in enumerate(processes) if held.is_open_in(each.pid)), None)
        if place is None:
            return None
        opener = processes[place]
        found = program(processes[: place + 1])
        # The same socket of the same process, before it was looked at and after: so no other stood there in between.
        if client_socket(client, server) != held or not held.is_open_in(opener.pid) or not opener.is_running():
            return None
        self._remember(opener.pid)
        return found

    def _search(self, held: Socket) -> int | None:
        for pid in reversed(self._recent):
            if held.is_open_in(pid):
                return pid
        give_up = time.thread_time() + PATIENCE
        for pid in held.candidates():
            if held.is_open_in(pid):
                return pid
            if time.thread_time() > give_up:
                return None
        return None

    def _remember(self, pid: int) -> None:
        self._recent[pid] = None
        self._recent.move_to_end(pid)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
