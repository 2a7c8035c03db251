"""The addons: hooks only. The one room, with `hoop_mitm.gateway`, that knows mitmproxy.

`install` puts the whole set into a running mitmproxy, in its one order, at the top level: so that no script that fails, is
saved again or is deleted can take it out.
"""

import logging
from pathlib import Path
from typing import Any

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.utils.asyncio_utils import create_task

from hoop_mitm.addons import backpressure, limits
from hoop_mitm.addons.certificates import Certificates
from hoop_mitm.addons.cost import Cost
from hoop_mitm.addons.credentials import Credentials
from hoop_mitm.addons.endpoint import Endpoint
from hoop_mitm.addons.guard import Guard
from hoop_mitm.addons.identity import Identity
from hoop_mitm.addons.labels import Labels
from hoop_mitm.addons.lockdown import Lockdown
from hoop_mitm.addons.mcp import Mcp
from hoop_mitm.addons.operations import Doors, Operations
from hoop_mitm.addons.ownership import Ownership
from hoop_mitm.addons.policy import Policy
from hoop_mitm.addons.programs import Programs
from hoop_mitm.addons.recorder import Recorder
from hoop_mitm.addons.review_api import ReviewApi
from hoop_mitm.addons.reviews import Reviews
from hoop_mitm.addons.routing import Routing
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.strip import Strip
from hoop_mitm.addons.token_exchange import TokenExchange
from hoop_mitm.addons.watch import Watch
from hoop_mitm.certs import ensure_ca, vouched_for
from hoop_mitm.config import load
from hoop_mitm.recording import LogFilter
from hoop_mitm.standing import standing

logger = logging.getLogger(__name__)


class Hoop:
    """The stages, ahead of every addon of mitmproxy: nothing sees a credential that a client sent."""

    name = "hoop"

    def __init__(self, addons: list[Any]) -> None:
        self.addons = addons


class HoopLast:
    """Credential and recorder, behind every addon of mitmproxy."""

    name = "hoop-last"

    def __init__(self, addons: list[Any]) -> None:
        self.addons = addons


def install(config_file: Path) -> None:
    """Puts the gateway into the mitmproxy that is running. Does nothing where it stands already.

    Raises:
        ConfigError: the configuration is wrong.
        OptionsError: an option of mitmproxy is set in a way that would undo a promise.
    """
    manager = ctx.master.addons
    if manager.get(Hoop.name):
        return
    config = load(config_file)
    ensure_ca(config.gateway.certs, vouched_for(config.gateway), config.gateway.ca_lifetime)
    limits.engage()
    backpressure.engage()
    lockdown = Lockdown(config)
    lockdown.engage()
    services = Services(config, config_file)
    for handler in logging.getLogger().handlers:
        # mitmproxy logs what it could not read, and that may be a token.
        handler.addFilter(LogFilter(services.recorder.redactor))
    for source in services.sources.values():
        source.check()
    first, last, guard = gateway_addons(services, lockdown)
    manager.chain.insert(0, manager.register(first))
    manager.add(last, guard)
    proxyserver = manager.get("proxyserver")
    if len(proxyserver.servers):
        # A script is loaded a moment after mitmproxy has begun to listen where mitmproxy's own options said.
        create_task(_listen_again(proxyserver), name="hoop-mitm listens", keep_ref=True)
    logger.info("hoop-mitm gateway for %s.", ", ".join(connection.name for connection in config.connections))
    logger.info(standing(config))


async def _listen_again(proxyserver: Proxyserver) -> None:
    """Listens where hoop.yaml says. Until then tunnels are open to this machine alone (`Routing`)."""
    await proxyserver.servers.update([])
    if not await proxyserver.setup_servers():
        logger.error("hoop-mitm cannot listen where gateway.listen says; mitmproxy ends.")
        ctx.master.shutdown()


def gateway_addons(services: Services, lockdown: Lockdown) -> tuple[Hoop, HoopLast, Guard]:
    """The whole set in its one order."""
    endpoint = Endpoint(services)
    routing = Routing(services, endpoint)
    first = [
        lockdown,
        Certificates(services),
        Watch(services),
        Strip(services),
        routing,
        TokenExchange(services),
        Identity(services),
        ReviewApi(services),
        Doors(services),
        Programs(services),
        Operations(services),
        Ownership(services),
        Reviews(services),
        Policy(services),
        endpoint,
        Cost(services),
        Labels(services),
        Mcp(services),
    ]
    last = [Credentials(services), Recorder(services)]
    return Hoop(first), HoopLast(last), Guard(services, routing, [*first, *last])


__all__ = ["Hoop", "HoopLast", "install"]
