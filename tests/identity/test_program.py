"""How a program is called."""

import pytest

from hoop_mitm.identity import Process, Program


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["bq"], "bq"),
        (["Cursor", "zsh", "bq"], "Cursor › zsh › bq"),
        (["cursor", "cursor", "cursor", "zsh", "python"], "cursor › zsh › python"),
        (["zsh", "zsh", "make", "zsh", "bq"], "zsh › make › zsh › bq"),
        ([], ""),
    ],
)
def test_a_program_is_told_after_its_parents_and_an_editor_once(names: list[str], told: str) -> None:
    assert str(Program(tuple(Process(pid, name) for pid, name in enumerate(names)))) == told
