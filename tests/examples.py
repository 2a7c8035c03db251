"""Examples of the documentation, taken out of it so that tests can run them."""

import re
import textwrap
from pathlib import Path


def blocks_of(page: Path, language: str) -> list[str]:
    """The code blocks in that language, in order, without the indentation of the list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(body) for _, body in found]
