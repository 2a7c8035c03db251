"""Signing in with the browser of this machine: authorization code with PKCE, back to a loopback address (RFC 8252)."""

import os
import secrets
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from authlib.common.security import generate_token

from hoop_mitm.errors import LoginError
from hoop_mitm.login.provider import Provider

PATIENCE = 300.0
"""Seconds that a person has to sign in."""

_PATH = "/callback"
_IDLE = 10
_OPENING = 2.0
_PAGE = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>hoop-mitm</title></head>
<body><h1>Back to the terminal</h1><p>hoop-mitm has the answer of your identity provider; the terminal says what it is.
You can close this page.</p></body></html>"""


def is_there(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a browser that a person sees can be opened from here."""
    if environment.get("BROWSER"):
        return True
    if environment.get("SSH_CONNECTION") or environment.get("CI"):
        return False
    if sys.platform != "darwin" and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def sign_in(provider: Provider, show: Callable[[str, bool], None]) -> tuple[dict[str, Any], str]:
    """The issuer's token answer, and the nonce that its ID token must hold.

    ``show`` is given the address of the sign-in page, and whether a browser was opened there.

    Raises:
        LoginError: denied, given up, or what came back was no answer to what was asked.
        Unreachable: the issuer does not answer.
    """
    offer = provider.offer
    if offer.authorization_endpoint is None:
        raise LoginError(
            f"{provider.profile.issuer} does not offer sign-in with a browser. Run `hoop-mitm login --device`."
        )
    nonce, state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32), generate_token(64)
    with _Callback() as callback:
        client = provider.client(callback.url)
        url, _ = client.create_authorization_url(
            offer.authorization_endpoint,
            state=state,
            code_verifier=verifier,
            nonce=nonce,
            **provider.profile.parameters,
        )
        show(url, is_there() and _open(url))
        answer = callback.wait(PATIENCE)
    said = dict(parse_qsl(urlsplit(answer).query))
    if not secrets.compare_digest(said.get("state", "").encode(), state.encode()):
        raise LoginError(
            "What came back from the browser is no answer to this sign-in (another `state`). Somebody else may have "
            "sent it: run `hoop-mitm login` again."
        )
    if said.get("iss", provider.profile.issuer) != provider.profile.issuer:
        # RFC 9207: an answer of one issuer must not be taken for another's.
        raise LoginError("What came back from the browser is another issuer's answer. Run `hoop-mitm login` again.")
    if "error" in said or "code" not in said:
        raise provider.refused(said.get("error", ""), said.get("error_description", ""))
    tokens = provider.asked(
        lambda: client.fetch_token(
            offer.token_endpoint, authorization_response=answer, state=state, code_verifier=verifier
        )
    )
    return dict(tokens), nonce


def _open(url: str) -> bool:
    """Whether a browser was opened. One that stays in the foreground, as `$BROWSER` may, is not waited for."""
    opened: list[bool] = []
    opening = threading.Thread(target=lambda: opened.append(webbrowser.open(url)), daemon=True)
    opening.start()
    opening.join(_OPENING)
    return opening.is_alive() or (bool(opened) and opened[0])


class _Callback:
    """Listens on a random port of 127.0.0.1 and takes one answer; whatever else knocks gets nothing."""

    def __init__(self) -> None:
        self._answered = threading.Event()
        self._taken = threading.Lock()
        self._answer = ""
        callback = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _IDLE  # Browsers open connections in advance, and say nothing on them.

            def do_GET(self) -> None:
                taken = urlsplit(self.path).path == _PATH and callback._taken.acquire(blocking=False)
                self.send_response(200 if taken else 404)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("cache-control", "no-store")
                self.send_header("referrer-policy", "no-referrer")
                self.send_header("content-security-policy", "default-src 'none'")
                self.send_header("connection", "close")
                self.end_headers()
                if taken:
                    self.wfile.write(_PAGE)
                    callback._answer = callback.url + "?" + urlsplit(self.path).query
                    callback._answered.set()

            def log_message(self, *_: Any) -> None:
                """Nothing: the address holds the code."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, seconds: float) -> str:
        """The address that the browser was sent to.

        Raises:
            LoginError: nobody came.
        """
        if not self._answered.wait(seconds):
            raise LoginError("Nobody finished the sign-in in the browser. Run `hoop-mitm login` again.")
        return self._answer
