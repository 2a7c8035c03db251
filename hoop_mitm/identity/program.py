"""Which program asked, as far as it can be told on the machine that it runs on."""

from dataclasses import dataclass

ARROW = " › "
"""Stands between a parent and its child."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes:
        name: what a person calls it: of a script, the script's name (``bq``, not ``python3``).
        path: its executable; empty when that cannot be told.
        script: the file that an interpreter runs, or ``None``.
    """

    pid: int
    name: str
    path: str = ""
    script: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """The process at the other end of a connection, after its parents: ``Cursor › zsh › bq``.

    A hint for people, not an identity: any program can call itself what it likes.
    """

    processes: tuple[Process, ...]

    def __str__(self) -> str:
        names: list[str] = []
        for process in self.processes:
            # An editor is several processes of one name.
            if not names or names[-1] != process.name:
                names.append(process.name)
        return ARROW.join(names)
