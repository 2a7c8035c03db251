"""The page of a comparison, as a browser shows it."""

import io
import re

import pytest
from PIL import Image

from hoop_mitm.archive import diff, open_archive
from hoop_mitm.archive.comparing import page
from tests.archive.building import NOON, columns, seconds, table_ref
from tests.browser import open_browser

SCHEMA = columns(id="INTEGER", v="STRING", note="STRING")
EVIL = '<script>document.title = "owned"</script><img src=x onerror=alert(1)>\u202e'


@pytest.fixture
def written(builder, tmp_path):
    """A page on which there is something of everything."""
    shop = [table_ref("acme.shop.t")]
    ids = [builder.session(name, at=NOON + seconds(3600 * n)) for n, name in enumerate(("monday", "tuesday"))]
    for side, session in enumerate(ids):
        at = NOON + seconds(3600 * side)
        rows = [[(1, "a", "x"), (2, "b", EVIL), (3, "c", "x")], [(1, "a", "x"), (2, "changed", EVIL), (4, "d", "x")]][
            side
        ]
        builder.asked(session, "SELECT id, v, note FROM shop.t", SCHEMA, rows, at=at, referenced_tables=shop)
        literal = f"SELECT v FROM shop.t WHERE id = {side + 41}"
        builder.job(session, literal, at=at + seconds(1), fingerprint="f" * 16, row_count=0)
        denied = {"decision": "deny", "rule": "no_writes", "message": "Ask first.", "state": "DENIED"} if side else {}
        builder.job(session, "SELECT 'quiet'", at=at + seconds(2), row_count=0)
        builder.job(session, "SELECT secret FROM hr.pay", at=at + seconds(3), row_count=0, **denied)
    with open_archive(builder.write()) as archive:
        found = diff(archive, archive.find("monday"), archive.find("tuesday"))
    path = tmp_path / "diff.html"
    path.write_bytes(b"".join(page.write(found, ("one.duckdb", "two.duckdb"))))
    return path


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.exhaustive)])
def test_a_browser_shows_what_changed_with_its_colours(written, scheme):
    with open_browser() as browser:
        shown = browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme=scheme)
        asked, complaints = [], []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: complaints.append(message.text))
        shown.goto(written.as_uri())
        text, title = shown.inner_text("body"), shown.title()
        wide = shown.evaluate("document.documentElement.scrollWidth")
        picture = Image.open(io.BytesIO(shown.screenshot(full_page=True))).convert("RGB")
        cells = [
            shown.locator(f"{name}").first.bounding_box() for name in ("td.changed ins", "tr.added td", "tr.removed td")
        ]
    assert (asked, complaints, title) == ([written.as_uri()], [], "monday and tuesday: what changed")
    for said in (
        "Different: 3 changed, 1 same.",
        "1 row added, 1 row removed, 1 row changed",
        "literals edited",
        "allowed → denied",
        "no_writes",
        "Ask first.",
        "b → changed",
        "Paired by id",
    ):
        assert said in text, said
    assert "<script>" in text
    assert wide <= 1100
    assert picture.width == 1100
    assert 600 < picture.height < 6000
    background = picture.getpixel((3, 3))
    assert (sum(background) > 600) == (scheme == "light")
    colours = {picture.getpixel((int(box["x"]) + 1, int(box["y"]) + 1)) for box in cells if box}
    assert len(colours - {background}) >= 2
    assert len(picture.getcolors(2**24)) > 20


def test_nothing_recorded_is_markup_and_nothing_outside_is_named(written):
    text = written.read_text()
    assert "<script" not in text
    assert "\u202e" not in text
    assert not re.search(r"""(?:src|href)=["'](?!#)""", text)
    assert "Content-Security-Policy" in text
