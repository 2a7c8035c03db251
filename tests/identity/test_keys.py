"""Signing keys are the gateway's alone, survive restarts, and can be rotated."""

import os
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hoop_mitm.errors import ConfigError
from hoop_mitm.identity import SigningKeys


def files(directory):
    return sorted(directory.iterdir())


def test_the_first_start_makes_one_key_that_nobody_else_can_read(tmp_path):
    directory = tmp_path / "deep" / "state"
    keys = SigningKeys.load_or_create(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    (file,) = files(directory)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keys.newest.kid in file.name


def test_even_under_a_lax_umask_the_key_is_private(tmp_path):
    before = os.umask(0)
    try:
        SigningKeys.load_or_create(tmp_path / "state")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "state", *files(tmp_path / "state")]] == [
        0o700,
        0o600,
    ]


def test_the_next_start_finds_the_same_keys(tmp_path):
    first, second = SigningKeys.load_or_create(tmp_path), SigningKeys.load_or_create(tmp_path)
    assert first.newest.kid == second.newest.kid
    assert first.newest.sealing == second.newest.sealing


def test_a_rotated_key_signs_and_the_old_one_still_verifies(tmp_path):
    old = SigningKeys.load_or_create(tmp_path)
    new = SigningKeys.rotate(tmp_path)
    assert new.newest.kid != old.newest.kid
    assert new.get(old.newest.kid) is not None
    assert SigningKeys.load_or_create(tmp_path).newest.kid == new.newest.kid
    assert len({old.newest.sealing, new.newest.sealing}) == 2


def test_an_unknown_kid_is_nobodys(tmp_path):
    keys = SigningKeys.load_or_create(tmp_path)
    assert keys.get("0" * 16) is None
    assert keys.get(None) is None


def test_the_sealing_key_is_not_the_signing_key_and_neither_is_in_a_repr(tmp_path):
    key = SigningKeys.load_or_create(tmp_path).newest
    assert key.sealing != key.private.private_bytes_raw()
    assert key.kid in repr(key)
    assert str(key.sealing) not in repr(key)
    assert "private" not in repr(key)


def test_gateways_that_start_at_once_agree_on_one_key(tmp_path):
    start = "import sys, pathlib; from hoop_mitm.identity import SigningKeys as K; print(K.load_or_create(pathlib.Path(sys.argv[1])).newest.kid)"
    running = [
        subprocess.Popen([sys.executable, "-c", start, str(tmp_path / "state")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=100)[0] for process in running}) == 1
    assert len(files(tmp_path / "state")) == 1


def wrong_kind(file):
    file.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


DAMAGE = {
    "readable by others": (lambda file: file.chmod(0o644), "other users can read this signing key"),
    "readable by the group": (lambda file: file.chmod(0o640), "other users can read this signing key"),
    "writable by others": (lambda file: file.chmod(0o602), "other users can write here"),
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:40]), "not an Ed25519 private key"),
    "empty": (lambda file: file.write_bytes(b""), "not an Ed25519 private key"),
    "an RSA key": (wrong_kind, "not an Ed25519 private key"),
    "in a directory that others can write": (lambda file: file.parent.chmod(0o777), "could plant signing keys"),
    "in a directory that the group can write": (lambda file: file.parent.chmod(0o770), "could plant signing keys"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_key_that_cannot_be_trusted_stops_the_start(tmp_path, damage, message):
    directory = tmp_path / "state"
    SigningKeys.load_or_create(directory)
    (file,) = files(directory)
    damage(file)
    with pytest.raises(ConfigError, match=message) as caught:
        SigningKeys.load_or_create(directory)
    assert caught.value.file in (file, directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_directory_of_another_user_is_refused(tmp_path):
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        SigningKeys.load_or_create(directory)


def test_a_directory_that_others_can_only_read_is_closed(tmp_path):
    directory = tmp_path / "state"
    directory.mkdir(mode=0o755)
    SigningKeys.load_or_create(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        SigningKeys.load_or_create(tmp_path / "state")


def test_what_a_crash_left_half_written_is_no_key(tmp_path):
    keys = SigningKeys.load_or_create(tmp_path)
    (tmp_path / "signing-29991231T235959000000Z-0123456789abcdef.new").write_bytes(b"-----BEGIN")
    assert SigningKeys.load_or_create(tmp_path).newest.kid == keys.newest.kid
