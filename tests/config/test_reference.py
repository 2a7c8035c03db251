"""The page about hoop.yaml says what the program accepts."""

from pathlib import Path

from pydantic import BaseModel

from hoop_mitm.config import model
from hoop_mitm.config.reference import SECTIONS, reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_program_would_write() -> None:
    assert PAGE.read_text() == reference(), "run: python -m hoop_mitm.config.reference > docs/configuration.md"


def test_every_part_of_the_model_has_its_section() -> None:
    models = {part for part in vars(model).values() if isinstance(part, type) and issubclass(part, BaseModel)}
    described = {part for parts in SECTIONS.values() for part in parts}
    assert models - {BaseModel, model.Model, model.Config} == described


def test_every_setting_says_what_it_means() -> None:
    silent = [
        f"{place}.{name}"
        for place, models in SECTIONS.items()
        for part in models
        for name, field in part.model_fields.items()
        if not field.description and name != "type"
    ]
    assert silent == []
