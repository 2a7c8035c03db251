import pytest

from hoop_mitm.archive.export.markup import Markup, inside, tag


@pytest.mark.parametrize(
    ("made", "html"),
    [
        (tag("p"), "<p></p>"),
        (tag("p", "a < b & \"c\" 'd'"), "<p>a &lt; b &amp; &quot;c&quot; &#x27;d&#x27;</p>"),
        (tag("p", "a", None, ["b", tag("b", "<c>"), ["d"]]), "<p>ab<b>&lt;c&gt;</b>d</p>"),
        (tag("a", "x", href='"><script>', class_="k"), '<a href="&quot;&gt;&lt;script&gt;" class="k">x</a>'),
        (tag("meta", http_equiv="x", name="y"), '<meta http-equiv="x" name="y">'),
        (tag("details", open=True), "<details open></details>"),
        (tag("details", open=False, title=None), "<details></details>"),
        (tag("p", "a\u202eb\x1b\tc\n"), "<p>a&lt;U+202E&gt;b␛\tc\n</p>"),
        (tag("p", (str(number) for number in range(3))), "<p>012</p>"),
    ],
)
def test_text_is_text_and_only_what_tag_made_is_markup(made, html):
    assert made == Markup(html)
    assert inside(made) == html
