"""Reads Google's lists of methods anew: ``uv lock -P google-api-python-client -P google-cloud-bigquery-storage``, then
``uv run python -m hoop_mitm.bigquery.refresh``.

They come out of Google's own packages: the discovery document that ``google-api-python-client`` ships (or the one that is
named as an argument), and the descriptors of ``google-cloud-bigquery-storage``. Afterwards the tests say which methods have
no row in ``doors`` yet, and ``python -m hoop_mitm.bigquery.coverage > docs/doors.md`` writes the page.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

# Not by way of `methods`, which reads it, and would not where it has another shape than wanted.
FILE: Final = Path(__file__).with_name("methods.json")

_DOCUMENT: Final = ("googleapiclient", "discovery_cache", "documents", "bigquery.v2.json")
_STORAGE: Final = tuple(
    f"google.cloud.bigquery_storage_{version}" for version in ("v1", "v1beta2", "v1beta", "v1alpha")
)

_RETIRED: Final = {
    "google.cloud.bigquery.storage.v1beta1": {
        "BigQueryStorage": [
            "BatchCreateReadSessionStreams",
            "CreateReadSession",
            "FinalizeStream",
            "ReadRows",
            "SplitReadStream",
        ]
    }
}
"""What Google's package no longer describes, and its servers may still answer."""

_NAMES: Final = {
    "projectsId": "project",
    "datasetsId": "dataset",
    "tablesId": "table",
    "jobsId": "job",
    "queriesId": "job",
    "routinesId": "routine",
    "modelsId": "model",
    "rowAccessPoliciesId": "policy",
}
_LOCATION = re.compile(r"https://bigquery\.([a-z0-9-]+)\.rep\.googleapis\.com/")


def methods(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a discovery document: its revision and locations, the verb and path of each method by its id, and the
    keys that requests may have."""
    found = sorted(_methods(document), key=lambda method: str(method["id"]))
    endpoints = (_LOCATION.fullmatch(endpoint["endpointUrl"]) for endpoint in document.get("endpoints", ()))
    return {
        "revision": document["revision"],
        "base": document["basePath"],
        "batch": f"/{document['batchPath']}",
        "locations": sorted(match[1] for match in endpoints if match),
        "methods": {_id(method): [method["httpMethod"], _path(method)] for method in found},
        "uploads": {
            _id(method): sorted(_named(way["path"]) for way in method["mediaUpload"]["protocols"].values())
            for method in found
            if "mediaUpload" in method
        },
        **_vocabulary(document, found),
    }


def _vocabulary(document: Mapping[str, Any], found: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Every key that the JSON of a request may have, and those of them whose value has keys of the user's own."""
    keys: set[str] = set()
    maps: set[str] = set()
    seen: set[str] = set()
    todo = [{"$ref": method["request"]["$ref"]} for method in found if "request" in method]
    while todo:
        schema = todo.pop()
        if (name := schema.get("$ref")) and name not in seen:
            seen.add(name)
            todo.append(document["schemas"][name])
        for key, value in schema.get("properties", {}).items():
            keys.add(key)
            if "additionalProperties" in value or value.get("type") == "any":
                maps.add(key)
            todo.append(value)
        todo += [schema[inner] for inner in ("items", "additionalProperties") if inner in schema]
    return {"keys": sorted(keys), "maps": sorted(maps)}


def _methods(owner: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from owner.get("methods", {}).values()
    for resource in owner.get("resources", {}).values():
        yield from _methods(resource)


def _id(method: Mapping[str, Any]) -> str:
    return str(method["id"]).removeprefix("bigquery.")


def _path(method: Mapping[str, Any]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: f"{{{_NAMES[match[1]]}}}", method.get("flatPath") or method["path"])


def _named(path: str) -> str:
    return re.sub(r"\{\+(\w+)Id\}", r"{\1}", path)


def discovery(file: Path | None = None) -> dict[str, Any]:
    """What is kept of the discovery document: of ``file``, or of the one that Google's client library ships."""
    document = file or files(_DOCUMENT[0]).joinpath(*_DOCUMENT[1:])
    return methods(json.loads(document.read_text()))


def storage() -> dict[str, dict[str, list[str]]]:
    """The Storage API's services and their methods, by package."""
    found = dict(_RETIRED)
    for module in _STORAGE:
        described = json.loads(files(module).joinpath("gapic_metadata.json").read_text())
        found[described["protoPackage"]] = {
            service: sorted(about["clients"]["grpc"]["rpcs"]) for service, about in described["services"].items()
        }
    return dict(sorted(found.items()))


def main() -> None:
    """Writes the lists into the package."""
    lists = {"discovery": discovery(Path(sys.argv[1]) if len(sys.argv) > 1 else None), "storage": storage()}
    FILE.write_text(json.dumps(lists, indent=1) + "\n")
    print(f"{FILE.name}: revision {lists['discovery']['revision']}")  # noqa: T201 - what the command says


if __name__ == "__main__":
    main()
