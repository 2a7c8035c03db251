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
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.waiting import until

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# As root, as in a container, Chromium runs without its own sandbox or not at all.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"] if os.getuid() == 0 else ["--disable-dev-shm-usage"]
# Of a page that is there it takes none of this; Playwright's own patience is 5 seconds.
_MILLISECONDS = 60_000
expect.set_options(timeout=_MILLISECONDS)


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
        options = [*_ARGUMENTS, *arguments]
        browser = playwright.chromium.launch(executable_path=program, args=options, timeout=_MILLISECONDS)
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
    # A session of its own: with the program that a test's terminal began with, the terminal hangs up on all that are left.
    apart = shlex.join([sys.executable, "-c", "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"])
    program.write_text(f'#!/bin/sh\nexec {apart} {command} "$1" >/dev/null 2>&1\n')
    program.chmod(0o700)
    return program


@contextmanager
def launched(place: Path) -> Iterator[Page]:
    """The page that the `launcher` made in ``place`` has opened; afterwards its browser is closed."""
    listening = place / "profile" / "DevToolsActivePort"
    until(lambda: listening.exists() and listening.read_text().count("\n"))
    with sync_playwright() as playwright:
        url = f"http://127.0.0.1:{listening.read_text().split()[0]}"
        browser = playwright.chromium.connect_over_cdp(url, timeout=_MILLISECONDS)
        [context] = browser.contexts
        # It listens a moment before it has a page.
        page = context.pages[0] if context.pages else context.wait_for_event("page", timeout=_MILLISECONDS)
        page.set_default_timeout(_MILLISECONDS)
        try:
            yield page
        finally:
            browser.new_browser_cdp_session().send("Browser.close")
