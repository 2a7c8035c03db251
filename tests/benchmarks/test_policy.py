"""The statements that the policy's benchmark asks about are ordinary ones, and understood."""

import re

import pytest

from benchmarks import policy
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


@pytest.mark.exhaustive
def test_a_very_short_run_gives_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy.main(["--rounds", "1", "--seconds", "0.05", "--statements", "10"]) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^\| (?:new|known) text.*(?:\| +[\d.]+ ){4}\|", said, re.MULTILINE)) == 5
    assert len(re.findall(r"^\| +(?:1|16) \| (?:no )?policy +(?:\| +[\d.]+ ){4}\|", said, re.MULTILINE)) == 4
