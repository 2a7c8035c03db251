"""A session in the formats of other programs.

One file a format. Each gives the file piece by piece, so that a long session never lies in memory whole. What is
written was redacted when it was recorded; it still holds statements and rows, so it is as sensitive as the recording.
"""

import importlib
from collections.abc import Iterator
from typing import Literal

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import SessionEntry

type Format = Literal["har", "mitm", "html", "ocsf"]

#: Where each format's ``write(archive, detail, max_rows)`` is.
FORMATS: dict[Format, str] = {
    "har": "hoop_mitm.archive.export.har",
    "mitm": "hoop_mitm.archive.export.mitm",
    "html": "hoop_mitm.archive.export.html",
    "ocsf": "hoop_mitm.archive.export.ocsf",
}

#: Rows of each result on a page.
MAX_ROWS = 200


def export(archive: Archive, session: SessionEntry, to: Format, *, max_rows: int | None = MAX_ROWS) -> Iterator[bytes]:
    """The bytes of ``session`` in the format ``to``, piece by piece while ``archive`` is open.

    ``max_rows`` of each result are shown where the format shows results (html); ``None`` for all.
    """
    writer = importlib.import_module(FORMATS[to])
    pieces: Iterator[bytes] = writer.write(archive, archive.show(session), max_rows)
    return pieces


__all__ = ["FORMATS", "MAX_ROWS", "Format", "export"]
