"""Google's description of BigQuery's API, as a machine with the Google Cloud CLI has it."""

import shutil
from pathlib import Path

from hoop_mitm.devkit.api import ApiError
from hoop_mitm.devkit.http import Response

PATH = "/$discovery/rest"

_IN_THE_CLI = "platform/bq/discovery_next/bigquery.json"


def document() -> Response:
    """What `bq` reads when it is given an address of BigQuery; it comes from the `bq` that is installed.

    Raises:
        ApiError: none is.
    """
    program = shutil.which("bq")
    for place in Path(program).resolve().parents if program else ():
        found = place / _IN_THE_CLI
        if found.is_file():
            return Response(200, found.read_bytes(), {"content-type": "application/json; charset=UTF-8"})
    raise ApiError(404, "notFound", "Not Found")
