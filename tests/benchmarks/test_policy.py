"""The statements that the policy's benchmark asks about are ordinary ones, and understood."""

import pytest

from benchmarks.statements import Asked, corpus
from hoop_mitm.sql import understand

CORPUS = corpus()


def test_there_are_enough_and_no_text_occurs_twice() -> None:
    assert len({asked.statement for asked in CORPUS}) == len(CORPUS) >= 500
    assert [asked.statement for asked in corpus()] == [asked.statement for asked in CORPUS]


@pytest.mark.parametrize("shape", sorted({asked.shape for asked in CORPUS}))
def test_every_statement_is_understood(shape: str) -> None:
    misread: list[tuple[Asked, str]] = []
    for asked in CORPUS:
        facts = understand(asked.statement, project="acme")
        if asked.shape == shape and (facts.opaque or facts.verb != asked.verb):
            misread.append((asked, facts.opaque or facts.verb))
    assert misread == []
