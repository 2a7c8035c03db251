"""Google's own lists of methods, as data: of BigQuery v2's discovery document, and of the Storage API's services.

``refresh`` reads them anew. What is done about each method stands in ``doors``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec


class Discovery(msgspec.Struct, frozen=True):
    """What is kept of the discovery document.

    Attributes:
        revision: the document's own, ``YYYYMMDD``.
        base: before each path.
        batch: the path of requests that carry several.
        locations: where there is a regional endpoint.
        methods: verb and path (``projects/{project}/jobs/{job}``) of each method by its id (``jobs.get``).
        uploads: the paths under which a method also takes data.
        keys: every key that the JSON of a request may have, wherever in it.
        maps: those of them whose value has keys of the user's own.
    """

    revision: str
    base: str
    batch: str
    locations: tuple[str, ...]
    methods: dict[str, tuple[str, str]]
    uploads: dict[str, tuple[str, ...]]
    keys: frozenset[str]
    maps: frozenset[str]


class _Lists(msgspec.Struct, frozen=True):
    discovery: Discovery
    storage: dict[str, dict[str, tuple[str, ...]]]


_lists = msgspec.json.decode(Path(__file__).with_name("methods.json").read_bytes(), type=_Lists)

DISCOVERY: Final = _lists.discovery

STORAGE: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = _lists.storage
"""Methods of the Storage API by package (``google.cloud.bigquery.storage.v1``) and service."""
