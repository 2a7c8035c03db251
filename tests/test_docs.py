"""The documentation is held to what is there: commands, options, make's targets, files, and examples that work."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hoop_mitm.cli import COMMANDS, load
from hoop_mitm.config import load as load_config
from tests.examples import blocks_of
from tests.test_journey import BQ

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [name for section in COMMANDS.values() for name in section]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def command(name: str) -> click.Command:
    return load(next(section[name][0] for section in COMMANDS.values() if name in section))


def code_of(page: Path) -> Iterator[str]:
    """Lines of code blocks and what stands between backticks."""
    text = page.read_text()
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_and_options_that_explain_themselves(name: str) -> None:
    main = command(name)

    for described in (main, *(main.commands.values() if isinstance(main, click.Group) else ())):
        assert described.help
        options = [option for option in described.params if isinstance(option, click.Option)]
        assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_documented(name: str) -> None:
    assert any(f"hoop-mitm {name}" in page.read_text() for page in PAGES)


@pages
def test_commands_and_options_that_a_page_shows_exist(page: Path) -> None:
    for line in code_of(page):
        for name, rest in re.findall(r"hoop-mitm ([a-z]+)([^|;#]*)", line):
            assert name in NAMES, line
            described = command(name)
            if isinstance(described, click.Group) and (sub := re.match(r" ([a-z]+)", rest)):
                assert sub[1] in described.commands, line
                described = described.commands[sub[1]]
            known = {text for option in described.params for text in (*option.opts, *option.secondary_opts)}
            own = rest.partition(" -- ")[0]
            shown = set(re.findall(r"(?<!\S)(--[a-z-]+)", own)) - {"--help"}
            # What follows `proxy` is mitmdump's, but for our own --config.
            assert shown <= known or name == "proxy", line


@pages
def test_targets_of_make_that_a_page_shows_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    for line in code_of(page):
        for name in re.findall(r"\bmake ([a-z-]+)", line):
            assert name in targets, line


@pages
def test_files_that_a_page_links_to_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_room_is_on_the_readmes_map() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = set(re.findall(r"^\| `hoop_mitm/(\w+)/` \|", readme, re.MULTILINE))

    rooms = {place.parent.name for place in (ROOT / "hoop_mitm").glob("*/__init__.py")}
    # Two are explained where they matter, not where a newcomer looks first.
    assert rooms - shown <= {"config"}
    assert shown <= rooms


def test_the_readmes_configuration_is_a_valid_one(tmp_path: Path) -> None:
    (tmp_path / "hoop.yaml").write_text("\n".join(blocks_of(ROOT / "README.md", "yaml")))

    config = load_config(tmp_path / "hoop.yaml")

    assert config.connections[0].name == "warehouse"
    assert config.policy
    assert config.cost


def test_the_readmes_five_commands_are_those_of_the_newcomers_journey() -> None:
    """What tests/test_journey.py does, in this order."""
    [journey] = [block for block in blocks_of(ROOT / "README.md", "sh") if block.startswith("hoop-mitm init")]

    assert [line.split()[1] for line in journey.splitlines()] == ["init", "login", "run", "sessions", "show"]
    assert f"hoop-mitm {' '.join(BQ)} " in journey
