"""The model can be asked what may stand where."""

import pytest

from hoop_mitm.config import schema


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (("gateway", "listen"), "gateway.listen"),
        (("identity", "issuers", 0, "claims", "email"), "identity.issuers[0].claims.email"),
        (("connections", 1, "credential", "service_account", "key_file"), "connections[1].credential.key_file"),
        (
            ("connections", 1, "credential", "impersonation", "source", "adc", "x"),
            "connections[1].credential.source.x",
        ),
        (
            ("connections", 1, "credential", "impersonation", "service_account"),
            "connections[1].credential.service_account",
        ),
        ((), ""),
    ],
)
def test_a_location_is_written_as_a_person_would(location, text):
    assert schema.written(location) == text


@pytest.mark.parametrize(
    ("location", "some"),
    [
        ((), {"identity", "connections"}),
        (("gateway", "upstream"), {"proxy", "ca", "hosts"}),
        (("connections", 0), {"name", "projects"}),
        (("connections", 0, "credential", "federation"), {"audience", "user_project"}),
        (("connections", 0, "credential", "impersonation", "source", "service_account"), {"key_file"}),
        (("gateway", "upstream", "hosts"), set()),
    ],
)
def test_the_keys_of_a_place_are_known(location, some):
    assert some <= set(schema.keys(location))


def test_the_kinds_of_credential_are_known():
    assert schema.tags(("connections", 0, "credential")) == ("service_account", "adc", "impersonation", "federation")


def test_a_setting_says_what_it_means():
    assert "audience" not in schema.description(("gateway", "listen"))
    assert "accepted `aud` values" in schema.description(("identity", "issuers", 3, "audiences"))
