"""``hoop.yaml`` is read as meant, or refused with the file, the line, what is wrong and what would be right."""

from datetime import timedelta
from pathlib import Path

import pytest

from hoop_mitm.config import Config, Federation, ServiceAccountKey, load
from hoop_mitm.errors import ConfigError

GOOD = """\
version: 1
gateway:
  listen: 127.0.0.1:9090
  state: keys
identity:
  issuers:
    - issuer: https://sso.example.com/
      audiences: [hoop-mitm]
      leeway: 30s
connections:
  - name: acme
    projects: [acme, acme-staging]
    credential: {type: service_account, key_file: secrets/key.json}
  - name: people
    projects: [acme-people]
    credential:
      type: federation
      audience: //iam.googleapis.com/locations/global/workforcePools/acme/providers/sso
recording:
  directory: /var/lib/hoop
"""


def read(directory: Path, text: str) -> Config:
    path = directory / "hoop.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def refusal(directory: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(directory, text)
    assert caught.value.file == directory / "hoop.yaml"
    return caught.value


def test_a_good_file_is_read_with_its_defaults(tmp_path):
    config = read(tmp_path, GOOD)
    assert config.gateway.address == ("127.0.0.1", 9090)
    assert config.identity.issuers[0].issuer == "https://sso.example.com/", "`iss` is kept to the letter"
    assert config.identity.issuers[0].leeway == timedelta(seconds=30)
    assert config.identity.session_tokens.lifetime == timedelta(hours=1)
    assert isinstance(config.connections[1].credential, Federation)


def test_relative_paths_are_relative_to_the_file_also_the_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = read(tmp_path, GOOD)
    assert config.gateway.state == tmp_path / "keys"
    assert config.gateway.certs == tmp_path / "certs"
    assert config.recording.directory == Path("/var/lib/hoop")
    credential = config.connections[0].credential
    assert isinstance(credential, ServiceAccountKey)
    assert credential.key_file == tmp_path / "secrets/key.json"


def test_a_path_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    assert read(tmp_path, GOOD.replace("state: keys", "state: ~/.hoop")).gateway.state == Path("/home/alice/.hoop")


def test_required_claims_may_be_one_value_or_several_of_any_scalar_type(tmp_path):
    require = "      require: {hd: example.com, installation: 42, email_verified: true, team: [a, 7]}\n"
    config = read(tmp_path, GOOD.replace("      leeway: 30s\n", require))
    assert config.identity.issuers[0].require == {
        "hd": ("example.com",),
        "installation": ("42",),
        "email_verified": ("true",),
        "team": ("a", "7"),
    }


# what is replaced, by what, the line of the error, what its message says
WRONG = [
    pytest.param("version: 1", "version: 2", 1, "`version` must be 1", id="version of the future"),
    pytest.param("  listen:", "  lisen:", 3, "unknown key `gateway.lisen`; did you mean `listen`?", id="typo"),
    pytest.param("  listen:", "  max-request-body:", 3, "did you mean `max_request_body`?", id="dash for underscore"),
    pytest.param("gateway:", "zzz:", 2, "known here: version, gateway, identity, connections", id="unknown section"),
    pytest.param("127.0.0.1:9090", "127.0.0.1", 3, "write host:port", id="listen without a port"),
    pytest.param("127.0.0.1:9090", "127.0.0.1:99999", 3, "write host:port", id="port out of range"),
    pytest.param("127.0.0.1:9090", "0.0.0.0:9090", 2, "set `others: refuse`", id="open proxy"),
    pytest.param("127.0.0.1:9090", '":9090"', 3, "write host:port", id="empty host listens everywhere"),
    pytest.param("  state: keys", "  others: alow", 4, "`gateway.others` must be 'tunnel' or 'refuse'", id="enum"),
    pytest.param("https://sso", "http://sso", 7, "an issuer must be https://", id="issuer over plain http"),
    pytest.param("https://sso", "https://me:pw@sso", 7, "write the issuer as", id="issuer with a password"),
    pytest.param("example.com/", "example.com/#x", 7, "write the issuer as", id="issuer with a fragment"),
    pytest.param("example.com/", "example.com/?x=1", 7, "write the issuer as", id="issuer with a query"),
    pytest.param("https://sso.example.com/", "sso", 7, "write the issuer as", id="issuer that is no URL"),
    pytest.param(
        "https://sso.example.com/", "http://127.0.0.1.example.com", 7, "must be https", id="looks like loopback"
    ),
    pytest.param("[hoop-mitm]", "[]", 8, "`identity.issuers[0].audiences` must not be empty", id="no audience"),
    pytest.param("[hoop-mitm]", "['']", 8, "`identity.issuers[0].audiences[0]` must not be empty", id="empty audience"),
    pytest.param("[hoop-mitm]", "hoop-mitm", 8, "`identity.issuers[0].audiences` must be a list", id="not a list"),
    pytest.param("30s", "30", 9, "write a duration such as 90s", id="duration without a unit"),
    pytest.param("30s", "2h", 9, "5m is the most", id="leeway of hours"),
    pytest.param("leeway: 30s", "algorithms: [none]", 9, "must be 'RS256'", id="algorithm none"),
    pytest.param("leeway: 30s", "algorithms: [HS256]", 9, "must be 'RS256'", id="symmetric algorithm"),
    pytest.param("leeway: 30s", "require: {hd: []}", 9, "require.hd` must not be empty", id="requirement of nothing"),
    pytest.param("leeway: 30s", "audiences: [x]", 9, "a key is written twice", id="key written twice"),
    pytest.param("leeway: 30s", "1: x", 9, "a key of `identity.issuers[0]` is not text", id="key that is a number"),
    pytest.param("name: people", "name: acme", 10, "two connections are called acme", id="name used twice"),
    pytest.param("name: people", "name: My Team", 14, "`connections[1].name` must match", id="name with spaces"),
    pytest.param("[acme-people]", "[acme]", 10, "project acme belongs to connection acme", id="project used twice"),
    pytest.param("[acme-people]", "['*']", 15, "`connections[1].projects[0]` must match", id="project wildcard"),
    pytest.param("type: federation", "type: federated", 16, "must be one of 'service_account'", id="credential type"),
    pytest.param(
        "type: federation", "user_project: x", 16, "needs a `type`, one of service_account, adc", id="no type"
    ),
    pytest.param("      audience: //", "      audienc: //", 18, "did you mean `audience`?", id="typo in a credential"),
    pytest.param("connections:", "connection:", 10, "did you mean `connections`?", id="typo at the top"),
    pytest.param("  directory: /var/lib/hoop", "", 19, "`recording` must be a mapping", id="section left empty"),
    pytest.param("  directory: /var/lib/hoop", "  directory: [", 21, "not valid YAML", id="broken YAML"),
    pytest.param("  directory: /var/lib/hoop", "  directory: *d", 20, "undefined alias", id="unknown alias"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), WRONG)
def test_an_error_names_its_line_and_what_would_be_right(tmp_path, old, new, line, message):
    assert old in GOOD
    error = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(error)
    assert error.line == line
    assert str(error).startswith(f"{tmp_path / 'hoop.yaml'}:{line}: ")


def test_all_errors_are_told_at_once_in_the_order_of_the_file(tmp_path):
    text = GOOD.replace("state:", "stat:").replace("30s", "soon").replace("federation", "x")
    first, *others = str(refusal(tmp_path, text)).splitlines()
    assert ":4: unknown key `gateway.stat`; did you mean `state`?" in first
    assert [line.strip().split(":")[0] for line in others] == ["line 9", "line 16"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"just text", "must be a mapping"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"a: \x07", "not valid YAML"),
        (b"[" * 1000, "not valid YAML"),
    ],
)
def test_what_is_no_configuration_is_refused_in_words(tmp_path, content, message):
    path = tmp_path / "hoop.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_missing_file_and_a_directory_are_refused_in_words(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "hoop.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        "  upstream: {proxy: 'ftp://me:s3cret-word@proxy:3128'}",
        "  upstream: {proxy: 'http://me:s3cret-word@proxy:port'}",
        "  upstream: 's3cret-word'",
        "  upstream: {proxy: ['s3cret-word']}",
        "  max_request_body: s3cret-word",
        "  others: s3cret-word",
        "  upstream: {proxy: 's3cret-word', x: [}",
    ],
)
def test_an_error_does_not_repeat_what_may_be_a_password(tmp_path, broken):
    assert "s3cret" not in str(refusal(tmp_path, GOOD.replace("  state: keys", broken)))


def test_the_password_of_the_proxy_is_in_no_repr(tmp_path):
    config = read(tmp_path, GOOD.replace("  state: keys", "  upstream: {proxy: 'http://me:s3cret@proxy:3128'}"))
    assert config.gateway.upstream.proxy == "http://me:s3cret@proxy:3128"
    assert "s3cret" not in repr(config)
