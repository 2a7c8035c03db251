"""A real browser without a window, for tests of what a person sees in one: this machine's Chromium, by playwright.

Nothing is downloaded: playwright's own browsers are not on any package registry, and every system has packages of
Chromium.
"""

import base64
import hashlib
import os
import shlex
import shutil
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_PLACES = (Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),)
_LAUNCH_SECONDS = 60


class NoBrowser(Exception):
    """This machine has none; the reason is what a skipped test prints."""


def chromium() -> Path:
    """Where this machine has Chromium, or a browser made of it.

    Raises:
        NoBrowser: nowhere.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None) or next(
        (each for each in _PLACES if each.exists()), None
    )
    if found is None:
        raise NoBrowser("there is no Chromium on PATH: install the system's package (apt-get install chromium)")
    return Path(found)


@contextmanager
def opened(*trusted: str) -> Iterator[Page]:
    """An empty page of a browser that knows nobody. ``trusted``: `pin`s of servers' keys."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_arguments(trusted))
        try:
            yield browser.new_page()
        finally:
            browser.close()


def launcher(place: Path, *trusted: str) -> Path:
    """A program for ``$BROWSER``, made in the new directory ``place``: it opens its argument in a browser, and stays
    as long as that does. What it has opened is seen with `launched`."""
    place.mkdir()
    options = ["--headless", "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={place / 'profile'}"]
    program = place / "open"
    command = shlex.join([str(chromium()), *options, *_arguments(trusted)])
    program.write_text(f'#!/bin/sh\nexec {command} "$1" >/dev/null 2>&1\n')
    program.chmod(0o700)
    return program


@contextmanager
def launched(place: Path) -> Iterator[Page]:
    """The page that the `launcher` made in ``place`` has opened; afterwards its browser is closed."""
    deadline = time.monotonic() + _LAUNCH_SECONDS
    listening = place / "profile" / "DevToolsActivePort"
    while not (listening.exists() and listening.read_text().count("\n")):
        assert time.monotonic() < deadline, "no browser was opened"
        time.sleep(0.05)
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{listening.read_text().split()[0]}")
        [page] = browser.contexts[0].pages
        try:
            yield page
        finally:
            browser.new_browser_cdp_session().send("Browser.close")


def _arguments(trusted: Sequence[str]) -> list[str]:
    arguments = [f"--ignore-certificate-errors-spki-list={','.join(trusted)}"] if trusted else []
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's own cannot be had as root.
    return arguments


def pin(url: str, ca: Path) -> str:
    """The key of the server at ``url``, once it has proved itself with ``ca``: the one certificate that a page may use
    which Chromium's own roots do not vouch for."""
    place = urlsplit(url)
    assert place.hostname
    certificate = x509.load_pem_x509_certificate(
        ssl.get_server_certificate((place.hostname, place.port or 443), ca_certs=str(ca)).encode()
    )
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
