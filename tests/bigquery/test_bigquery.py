"""The public face of the room."""

import subprocess
import sys

import pytest

from hoop_mitm import bigquery


@pytest.mark.parametrize("name", bigquery.__all__)
def test_every_public_name_is_there(name):
    assert getattr(bigquery, name) is not None


def test_another_name_is_not():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bigquery.nothing


@pytest.mark.parametrize("module", ["hoop_mitm.bigquery", "hoop_mitm.bigquery.reading", "hoop_mitm.bigquery.storage"])
def test_importing_the_room_imports_nothing_slow(module):
    slow = {"google.cloud.bigquery_storage_v1", "grpc", "pyarrow", "fastavro", "sqlglot", "mitmproxy", "brotli"}
    code = f"import sys, {module}; print(*({slow!r} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
