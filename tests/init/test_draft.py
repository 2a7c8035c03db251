"""A file that `init` writes: whole, with its rights, and never into somebody else's."""

import os
import stat

import pytest

from hoop_mitm.init import Draft


@pytest.mark.parametrize("name", ["hoop.yaml", f".hoop.yaml.{os.getpid()}"], ids=["the file", "beside it"])
def test_a_link_that_somebody_left_is_not_written_through(tmp_path, name):
    theirs, place = tmp_path / "theirs", tmp_path / "shared"
    theirs.write_text("precious")
    place.mkdir()
    (place / name).symlink_to(theirs)
    Draft(place / "hoop.yaml", "new").write()
    assert theirs.read_text() == "precious"
    assert (place / "hoop.yaml").read_text() == "new"
    assert not (place / "hoop.yaml").is_symlink()


def test_the_file_that_was_there_is_kept_with_its_rights(tmp_path):
    file = tmp_path / "client.yaml"
    file.write_text("old")
    file.chmod(0o600)
    backup = Draft(file, "new", 0o640).write()
    assert [(each.read_text(), stat.S_IMODE(each.stat().st_mode)) for each in (backup, file)] == [
        ("old", 0o600),
        ("new", 0o640),
    ]
    assert sorted(tmp_path.iterdir()) == sorted([backup, file])
