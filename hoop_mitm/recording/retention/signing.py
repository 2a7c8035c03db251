"""Which key signs what is said about an archive: the one that signs what is in it, so that it counts for that."""

from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import RecordingKey, RecordingKeys
from hoop_mitm.recording.keeping import PREFIX

_NEWEST = f"""
    SELECT key FROM {{place}}checkpoints WHERE NOT starts_with(chain, '{PREFIX}') ORDER BY "at" DESC, number DESC LIMIT 1
"""  # noqa: S608 - names of ours
#: Asked of an open archive, and of a :class:`Source`.
NEWEST_KEY, NEWEST_KEY_OF_SOURCE = _NEWEST.format(place=""), _NEWEST.format(place="old.main.")


def key_for(keys: RecordingKeys, fingerprint: str | None) -> RecordingKey:
    """The key called ``fingerprint``, or the newest one where nothing is signed yet.

    Raises:
        RecordingError: it is not among ``keys``.
    """
    if fingerprint is None:
        return keys.newest
    key = keys.get(fingerprint)
    if key is None:
        raise RecordingError(
            f"This recording is signed with the key {fingerprint}, which is not among the gateway's. What is deleted could "
            "not be told from tampering without it: restore it (`gateway.state` in hoop.yaml). Nothing was changed."
        )
    return key
