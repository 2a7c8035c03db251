"""The room's public face."""

import subprocess
import sys

import pytest

from hoop_mitm import identity


@pytest.mark.parametrize("name", identity.__all__)
def test_every_public_name_is_there(name):
    assert getattr(identity, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError):
        identity.nothing  # noqa: B018


def test_naming_a_principal_does_not_import_cryptography_or_anything_above():
    code = "import sys; from hoop_mitm.identity import Principal, Session; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not modules & {"jwt", "cryptography", "pydantic", "mitmproxy", "click", "google"}


def test_the_room_knows_neither_mitmproxy_nor_click():
    names = ", ".join(identity.__all__)
    code = f"import sys; from hoop_mitm.identity import {names}; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not modules & {"mitmproxy", "click", "requests", "duckdb", "google"}
