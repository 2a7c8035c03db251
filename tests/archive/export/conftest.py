import pytest

from hoop_mitm.archive import open_archive
from hoop_mitm.archive.export import export
from tests.archive.eventful import eventful


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """An archive that a recorder wrote; tests only read it."""
    return eventful(tmp_path_factory.mktemp("eventful"))


@pytest.fixture
def exported(recording):
    """What a session is in a format."""

    def exported(name, to, **options):
        with open_archive(recording) as archive:
            return b"".join(export(archive, archive.find(name), to, **options))

    return exported
