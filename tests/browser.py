"""A real browser for tests that look at a page: the system's Chromium, headless, driven by Playwright.

    with open_browser() as browser:
        page = browser.new_page()
        page.goto(path.as_uri())

`launcher` and `launched` are for a browser that some program under test opens, by ``$BROWSER``.

Where there is no Chromium the test is skipped, and says so (``apt-get install chromium`` brings one).
"""

import base64
import hashlib
import os
import shlex
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# As root, as in a container, Chromium runs without its own sandbox or not at all.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"] if os.getuid() == 0 else ["--disable-dev-shm-usage"]
_LAUNCH_SECONDS = 60


def chromium() -> Path | None:
    """The program, where this machine has one; ``CHROMIUM`` names another."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    return Path(found) if found else None


def needed() -> Path:
    """The program; without one the test is skipped."""
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium here: install it (apt-get install chromium), or name it with CHROMIUM")
    return program


@contextmanager
def open_browser(*arguments: str) -> Iterator[Browser]:
    """A headless browser; ``arguments`` are Chromium's own. It and all it started is gone afterwards."""
    program = needed()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*_ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


def trusting(url: str, ca: Path) -> str:
    """The argument with which a browser takes the server at ``url`` for good, once that has proved itself with ``ca``.

    Its key alone is trusted; Chromium reads no file of authorities, and its own store is the user's.
    """
    place = urlsplit(url)
    assert place.hostname
    certificate = x509.load_pem_x509_certificate(
        ssl.get_server_certificate((place.hostname, place.port or 443), ca_certs=str(ca)).encode()
    )
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"--ignore-certificate-errors-spki-list={base64.b64encode(hashlib.sha256(key).digest()).decode()}"


def launcher(place: Path, *arguments: str) -> Path:
    """A program for ``$BROWSER``, made in the new directory ``place``: it opens its argument in a browser, and stays
    as long as that does. What it has opened is seen with `launched`."""
    place.mkdir()
    options = ["--headless", "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={place / 'profile'}"]
    program = place / "open"
    command = shlex.join([str(needed()), *_ARGUMENTS, *options, *arguments])
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
