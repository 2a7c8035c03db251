"""The certificate authority, kept good for as long as the gateway runs."""

import asyncio
import contextlib
import logging
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.certs import CertStore

from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.services import Services
from hoop_mitm.certs import AUTHORITIES, CA, ensure_ca, read_ca, vouched_for
from hoop_mitm.errors import HoopError

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the authority's files: `hoop-mitm ca renew`, or another instance, may change them."""

_RENEWAL = 60.0
"""Seconds between two looks at the clock, unless the authority's whole life is shorter than a day."""


class Certificates(Addon):
    """Renews the authority before it ends, and has mitmproxy sign with the one that is in force."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._gateway = services.config.gateway
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        self._task = asyncio.create_task(self._keep())

    def done(self) -> None:
        if self._task:
            self._task.cancel()

    async def _keep(self) -> None:
        renewal = min(_RENEWAL, self._gateway.ca_lifetime.total_seconds() / 500)
        pause = min(LOOK_EVERY, renewal)
        known: CA | None = None
        stamp: tuple[int, ...] = ()
        waited = renewal
        with contextlib.suppress(HoopError, OSError, ValueError):
            # What changes from now on is told.
            known = await asyncio.to_thread(read_ca, self._gateway.certs)
        while True:
            await asyncio.sleep(pause)
            waited += pause
            seen = _stamp(self._gateway.certs)
            if seen == stamp and waited < renewal:
                continue
            waited = 0.0
            try:
                current = await asyncio.to_thread(self._ensure)
                await self._take_up(known, current)
            except (HoopError, OSError, ValueError) as error:
                logger.warning("The certificate authority could not be renewed; it is tried again. %s", error)
                continue
            known, stamp = current, _stamp(self._gateway.certs)

    def _ensure(self) -> CA:
        return ensure_ca(self._gateway.certs, vouched_for(self._gateway), self._gateway.ca_lifetime)

    async def _take_up(self, known: CA | None, current: CA) -> None:
        tls = ctx.master.addons.get("tlsconfig")
        if current.fingerprint != tls.certstore.default_ca.fingerprint().hex():
            # Not by mitmproxy's own way: where there is no file, it makes an authority that may sign for any site.
            tls.certstore = CertStore.from_files(current.key, current.directory / "mitmproxy-dhparam.pem")
            kind, said = "ca.renewed", "A new certificate authority has taken over."
        elif known and current.next_fingerprint not in (None, known.next_fingerprint):
            kind, said = "ca.published", "The next certificate authority is published to clients."
        else:
            return
        logger.info("%s", said)
        await self._services.event(
            kind,
            said,
            details={
                "fingerprint": current.fingerprint,
                "next": current.next_fingerprint or "",
                "expires_at": current.expires_at.isoformat(),
            },
        )


def _stamp(directory: Path) -> tuple[int, ...]:
    """Changes whenever an authority is written, or goes."""
    return tuple(_written(directory / name) for name in AUTHORITIES)


def _written(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
