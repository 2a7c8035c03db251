"""The page about hoop.yaml says what the program accepts."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hoop_mitm.config import model
from hoop_mitm.config.reference import SECTIONS, reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_program_would_write() -> None:
    assert PAGE.read_text() == reference(), "run: python -m hoop_mitm.config.reference > docs/configuration.md"


def test_every_part_of_the_model_has_its_section() -> None:
    described = {part for parts in SECTIONS.values() for part in parts}
    assert set(models_in(model.Config)) - {model.Config} == described


def test_every_key_of_the_file_is_on_the_page() -> None:
    page = reference()
    assert [name for name in model.Config.model_fields if f"`{name}" not in page] == []
    assert f"`version: {model.Config.model_fields['version'].default}`" in page


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that a file may hold at such a place, or below it."""
    if isinstance(annotation, typing.TypeAliasType):
        annotation = annotation.__value__
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in typing.get_args(annotation):
        yield from models_in(part)


def test_every_setting_says_what_it_means() -> None:
    silent = [
        f"{place}.{name}"
        for place, models in SECTIONS.items()
        for part in models
        for name, field in part.model_fields.items()
        if not field.description and name != "type"
    ]
    assert silent == []
