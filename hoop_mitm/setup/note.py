"""What was done to a settings file, kept so that it can be taken back: the changes, and the file as it was.

Notes lie in the user's own state directory, not beside the settings: a project's folder is shared, and may be public.
"""

import difflib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hoop_mitm.client.place import home
from hoop_mitm.errors import ConfigError
from hoop_mitm.setup.editing import Change, EditError, Names, set_members, taken_back
from hoop_mitm.setup.settings_file import SettingsFile

_CONTEXT_LINES = 2


@dataclass(frozen=True, slots=True)
class Note:
    """One file's note.

    Attributes:
        path: the settings file.
        before: its bytes before we came; ``None``: there was no such file.
        after: SHA-256 of what we wrote.
        changes: what we did, in order.
    """

    path: Path
    before: bytes | None
    after: str
    changes: tuple[Change, ...]

    @property
    def backup(self) -> Path:
        """Where ``before`` is kept."""
        return _place(self.path) / "before"

    def keep(self) -> None:
        """Write it down, before anything is done."""
        place = _place(self.path)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.before is None:
            self.backup.unlink(missing_ok=True)
        else:
            _write(self.backup, self.before)
        document = {"path": str(self.path), "after": self.after, "changes": [asdict(each) for each in self.changes]}
        _write(place / "note.json", json.dumps(document, indent=2).encode())

    def forget(self) -> None:
        shutil.rmtree(_place(self.path), ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to happen to a file; nothing has yet.

    Attributes:
        file: as it is.
        after: what it will hold; ``None``: it will be gone.
        note: to keep; ``None``: nothing of ours will be left in it.
        left: names of what somebody changed after us, and that is therefore left.
    """

    file: SettingsFile
    after: bytes | None
    note: Note | None
    left: tuple[Names, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        return self.file.data == self.after

    def diff(self) -> str:
        """The change as people read it."""
        before, after = ((data or b"").decode().splitlines() for data in (self.file.data, self.after))
        name = str(self.file.path)
        lines = difflib.unified_diff(before, after, name, name, n=_CONTEXT_LINES, lineterm="")
        return "".join(f"{line}\n" for line in lines)

    def carry_out(self) -> None:
        """Do it.

        Raises:
            ConfigError: the file cannot be written, or was changed meanwhile; it is as it was.
        """
        previous = noted(self.file.path)
        if self.note:
            self.note.keep()
        try:
            if not self.changes_nothing:
                self.file.replace(self.after)
        except BaseException:
            if previous:
                previous.keep()
            elif self.note:
                self.note.forget()
            raise
        if self.note is None and previous:
            previous.forget()


def plan_put(path: Path, edits: Sequence[tuple[Names, Mapping[str, Any]]]) -> Plan:
    """How to put members into objects of a settings file; what an earlier set-up put there is taken back first.

    Raises:
        ConfigError: the file cannot be used, or has another shape.
    """
    file = SettingsFile.read(path)
    text, before, _ = _without_ours(file)
    changes: list[Change] = []
    try:
        for names, members in edits:
            text, more = set_members(text, names, members)
            changes += more
    except EditError as error:
        raise ConfigError(f"{error}. Nothing was written", file=file.path) from None
    after = text.encode()
    if not changes:
        return Plan(file, before, None)
    return Plan(file, after, Note(file.path, before, hashlib.sha256(after).hexdigest(), tuple(changes)))


def plan_remove(path: Path) -> Plan:
    """How to take back what was put into a file.

    Raises:
        ConfigError: the file cannot be used, or was edited so that ours cannot be told from theirs.
    """
    file = SettingsFile.read(path)
    _, before, left = _without_ours(file)
    return Plan(file, before, None, tuple(left))


def noted(path: Path) -> Note | None:
    """The note of a file, if we ever changed it."""
    place = _place(path.absolute())
    try:
        said = json.loads((place / "note.json").read_bytes())
        backup = place / "before"
        before = backup.read_bytes() if backup.exists() else None
        changes = tuple(
            Change(each["kind"], tuple(each["path"]), each["values"], each["pieces"], each["before"])
            for each in said["changes"]
        )
        return Note(Path(said["path"]), before, said["after"], changes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def all_noted() -> list[Note]:
    """The notes of all files that hold something of ours."""
    places = sorted((home() / "settings").glob("*/note.json"))
    notes = [noted(Path(json.loads(place.read_bytes())["path"])) for place in places]
    return [note for note in notes if note]


def _without_ours(file: SettingsFile) -> tuple[str, bytes | None, list[Names]]:
    """The file's text and bytes as if we had never come, and what of ours was left in it because it was edited."""
    note = noted(file.path)
    if note is None:
        return file.text, file.data, []
    if file.data is None:
        return file.text, None, []
    if hashlib.sha256(file.data).hexdigest() == note.after:
        was = SettingsFile(file.path, note.before)
        return was.text, note.before, []
    try:
        text, left = taken_back(file.text, note.changes)
    except EditError as error:
        raise ConfigError(
            f"{error}. Nothing was written. The file as it was before hoop-mitm came is {note.backup}", file=file.path
        ) from None
    return text, text.encode(), left


def _place(path: Path) -> Path:
    return home() / "settings" / hashlib.sha256(str(path).encode()).hexdigest()[:16]


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_bytes(data)
    fresh.replace(path)
