"""The client file: found where it should be, and wrong in words."""

from pathlib import Path

import pytest

from hoop_mitm.errors import ConfigError
from hoop_mitm.login import default_file, load_profile

GOOD = "issuer: https://sso.example.com\nclient_id: hoop\nconnections: {acme: [p1, p2], own: [p3]}\n"


def written(path: Path, text: str = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_it_is_found_by_option_variable_or_place(home, tmp_path, monkeypatch):
    assert default_file() == home / ".config/hoop-mitm/client.yaml"
    written(default_file(), GOOD.replace("hoop", "by-place"))
    assert load_profile().client_id == "by-place"
    monkeypatch.setenv("HOOP_CLIENT", str(written(tmp_path / "v.yaml", GOOD.replace("hoop", "by-variable"))))
    assert load_profile().client_id == "by-variable"
    assert load_profile(written(tmp_path / "o.yaml", GOOD.replace("hoop", "by-option"))).client_id == "by-option"


def test_paths_are_relative_to_it(tmp_path):
    text = GOOD + "ca: ca.pem\ngateway: {ca: certs/c.pem, config: ~/hoop.yaml}\n"
    profile = load_profile(written(tmp_path / "c.yaml", text))
    assert profile.ca == tmp_path / "ca.pem"
    assert profile.gateway.ca == tmp_path / "certs/c.pem"
    assert profile.gateway.config == Path("~/hoop.yaml").expanduser()


def test_the_first_connection_and_the_first_project_are_the_default(tmp_path):
    profile = load_profile(written(tmp_path / "c.yaml"))
    assert (profile.connection, profile.project(), profile.project("own")) == ("acme", "p1", "p3")
    with pytest.raises(ConfigError, match="there are: acme, own"):
        profile.project("payroll")


WRONG = {
    "nothing": ("", "empty"),
    "no YAML": ("a: [", "not valid YAML"),
    "a key that is not known": (GOOD + "isuer: x\n", "isuer"),
    "no connections": ("issuer: https://x\nclient_id: y\n", "connections"),
    "an issuer in the clear": (GOOD.replace("https", "http"), "https"),
    "no ID token asked for": (GOOD + "scopes: [email]\n", "openid"),
    "a proxy that is none": (GOOD + "gateway: {url: '127.0.0.1'}\n", "http://"),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load_profile(written(tmp_path / "c.yaml", text))
    assert "c.yaml" in str(caught.value)


def test_without_one_it_is_said_where_one_comes_from():
    with pytest.raises(ConfigError, match="hoop-mitm init"):
        load_profile()
