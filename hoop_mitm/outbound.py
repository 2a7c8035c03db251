"""The gateway's own calls to Google and to issuers.

They go where the proxied traffic goes: the same host overrides, the same company proxy, the same CA. Nothing is taken
from the environment, because a variable set for a client must not steer the gateway.
"""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from hoop_mitm.config.model import Upstream, split_host_port

TIMEOUT = (5.0, 15.0)
"""Seconds to connect, seconds between two bytes."""

MAX_DOCUMENT = 2**20
"""Bytes. Discovery documents and key sets are a few KB."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _Adapter(HTTPAdapter):
    """Connects to the override of a host, while TLS still proves the host's own name."""

    def __init__(self, hosts: dict[str, str]) -> None:
        self._hosts = hosts
        super().__init__(max_retries=0)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT
        request.headers["Host"] = urlsplit(request.url or "").netloc
        return super().send(request, *args, **kwargs)

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        pools: tuple[dict[str, Any], dict[str, Any]] = super().build_connection_pool_key_attributes(*args, **kwargs)  # type: ignore[assignment]  # its TypedDicts lack urllib3's assert_hostname
        host_params, pool_kwargs = pools
        if override := self._hosts.get(host_params["host"]):
            pool_kwargs["server_hostname"] = pool_kwargs["assert_hostname"] = host_params["host"]
            host, port = split_host_port(override)
            host_params |= {"host": host, "port": port}
        return host_params, pool_kwargs


class _Session(requests.Session):
    """Asks whom it was told to ask. A redirect would have it send the same form, tokens and all, to somebody else."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - requests' signature
        return None


def session(upstream: Upstream, *, ca: Path | None = None) -> requests.Session:
    """A `requests` session that reaches the outside as the gateway does, and follows no redirects.

    Args:
        upstream: host overrides, proxy and CA.
        ca: PEM bundle to verify with instead of the upstream's.
    """
    made = _Session()
    made.trust_env = False
    made.mount("https://", _Adapter(upstream.hosts))
    if bundle := ca or upstream.ca:
        made.verify = str(bundle)
    if upstream.proxy:
        made.proxies = {"https": upstream.proxy, "http": upstream.proxy}
        # For requests, a host whose proxy is empty has none.
        made.proxies |= {f"https://{host}": "" for host in (*LOOPBACK, *upstream.no_proxy)}
    return made


def get(session: requests.Session, url: str) -> bytes:
    """The body of a 200 answer.

    Raises:
        OSError: no answer, an answer other than 200 (redirects are not followed), or one that is too large.
    """
    with session.get(url, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer:
        if answer.status_code != requests.codes.ok:
            raise OSError(f"{url} answered {answer.status_code}")
        body = answer.raw.read(MAX_DOCUMENT + 1, decode_content=True)
        if len(body) > MAX_DOCUMENT:
            raise OSError(f"{url} answered more than {MAX_DOCUMENT} bytes")
        return bytes(body)


class Fetcher:
    """Small documents by GET, off the event loop: what the identity room reads issuers with."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._sessions: dict[Path | None, requests.Session] = {}

    async def __call__(self, url: str, ca: Path | None = None) -> bytes:
        """The body of a 200 answer.

        Raises:
            OSError: no answer, an answer other than 200 (redirects are not followed), or one that is too large.
        """
        return await asyncio.to_thread(self._get, url, ca)

    def _get(self, url: str, ca: Path | None) -> bytes:
        if ca not in self._sessions:
            self._sessions[ca] = session(self._upstream, ca=ca)
        return get(self._sessions[ca], url)
