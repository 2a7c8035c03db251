"""What a person does with a browser, done by a script."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests

from hoop_mitm.login.device import Code
from hoop_mitm.login.signing_in import Shown


def session(ca: Path) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.verify = str(ca)
    return made


def choose(ca: Path, url: str, user: str) -> requests.Response:
    """Opens the sign-in page, clicks on somebody, and follows where it leads."""
    browser = session(ca)
    page = browser.get(url)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text.partition("<button")[0]))
    answer = browser.post(url, data={**fields, "user": user}, allow_redirects=False)
    if "location" in answer.headers:
        return requests.get(answer.headers["location"], timeout=60)
    return answer


def shown(
    *, address: Callable[[str, bool], object] | None = None, code: Callable[[Code], object] | None = None
) -> Shown:
    """For somebody who is shown the one, and does not expect the other."""

    def unexpected(*_: object) -> None:
        raise AssertionError("the other way to sign in was chosen")

    return Shown(address or unexpected, code or unexpected)  # type: ignore[arg-type]


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def browser_script(place: Path, ca: Path, user: str) -> str:
    """A program for ``$BROWSER`` that signs somebody in."""
    script = place / "browser.py"
    script.write_text(
        f"import sys\nsys.path[:0] = {sys.path!r}\nfrom pathlib import Path\nfrom tests.login.people import choose\n"
        f"choose(Path({str(ca)!r}), sys.argv[1], {user!r})\n"
    )
    return f"{sys.executable} {script} %s"
