"""docs/identity.md is held to the code: every reason is explained, and its configuration is a valid one."""

import re
from pathlib import Path

import pytest

from hoop_mitm.config import load
from tests.examples import blocks_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "identity.md"
REASONS = sorted(
    {
        reason
        for room in ("identity", "addons")
        for file in (ROOT / "hoop_mitm" / room).glob("*.py")
        for reason in re.findall(r'IdentityError\(\s*"(\w+)"', file.read_text())
    }
)


def test_there_are_as_many_reasons_as_there_seem() -> None:
    assert len(REASONS) > 20


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_explained_with_what_to_do(reason: str) -> None:
    table = PAGE.read_text().partition("| reason |")[2]
    assert f"`{reason}`" in table


def test_its_machines_can_be_configured(tmp_path: Path) -> None:
    [block] = blocks_of(PAGE, "yaml")
    connections = "connections: [{name: a, projects: [acme], credential: {type: adc}}]\n"
    (tmp_path / "hoop.yaml").write_text(block + connections)
    github, kubernetes = load(tmp_path / "hoop.yaml").identity.issuers
    assert github.require == {"repository_owner": ("acme",)}
    assert kubernetes.require == {"kubernetes.io.namespace": ("ci", "reports")}
