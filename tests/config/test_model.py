"""What the model refuses because it would open a hole."""

import pytest
from pydantic import ValidationError

from hoop_mitm.certs import vouched_for
from hoop_mitm.config import Gateway, Identity, Issuer, Keep, is_loopback, split_host_port


@pytest.mark.parametrize(
    ("issuer", "claim"),
    [
        ("https://accounts.google.com", "hd"),
        ("https://accounts.google.com/", "hd"),
        ("https://ACCOUNTS.google.com", "hd"),
        ("https://accounts.google.com.", "hd"),
        ("https://accounts.google.com:443", "hd"),
        ("https://token.actions.githubusercontent.com", "repository_owner"),
        ("https://token.actions.githubusercontent.com/acme", "repository_owner"),
        ("https://gitlab.com", "namespace_path"),
        ("https://login.microsoftonline.com/common/v2.0", "tid"),
        ("https://login.microsoftonline.com//common/v2.0", "tid"),
        ("https://login.microsoftonline.com/Organizations/v2.0", "tid"),
        ("https://sts.windows.net/common/", "tid"),
    ],
)
def test_an_issuer_that_mints_for_anyone_needs_a_claim_that_binds(issuer, claim):
    with pytest.raises(ValidationError, match="mints tokens for anyone"):
        Issuer(issuer=issuer, audiences=("hoop",))
    with pytest.raises(ValidationError, match="mints tokens for anyone"):
        Issuer(issuer=issuer, audiences=("hoop",), require={"email_verified": ("true",)})
    assert Issuer(issuer=issuer, audiences=("hoop",), require={claim: ("acme",)}).require == {claim: ("acme",)}


def test_an_issuer_with_one_tenant_needs_none():
    tenant = "https://login.microsoftonline.com/2f1c7b4e-1111-4a4a-9d3c-0c0c0c0c0c0c/v2.0"
    assert Issuer(issuer=tenant, audiences=("hoop",)).require == {}


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ({"issuer": "https://sso.example.com", "audiences": ["b", "a"]}, "audience a"),
        ({"issuer": "https://sso.example.com/", "audiences": ["b"]}, "another spelling"),
        ({"issuer": "https://sso.example.com", "audiences": ["b"], "ca": "ca.pem"}, "another `ca`"),
        ({"issuer": "https://sso.example.com", "audiences": ["b"], "kind": "machine"}, None),
        ({"issuer": "https://other.example.com", "audiences": ["a"]}, None),
    ],
)
def test_entries_of_one_issuer_are_told_apart_by_audience(second, problem):
    issuers = {"issuers": [{"issuer": "https://sso.example.com", "audiences": ["a"]}, second]}
    if problem is None:
        assert len(Identity.model_validate(issuers).issuers) == 2
    else:
        with pytest.raises(ValidationError, match=problem):
            Identity.model_validate(issuers)


@pytest.mark.parametrize(
    ("listen", "others", "fine"),
    [
        ("127.0.0.1:8080", "tunnel", True),
        ("[::1]:8080", "tunnel", True),
        ("localhost:8080", "tunnel", True),
        ("0.0.0.0:8080", "tunnel", False),
        ("[::]:8080", "tunnel", False),
        ("10.0.0.7:8080", "tunnel", False),
        ("gateway.example.com:8080", "tunnel", False),
        ("0.0.0.0:8080", "refuse", True),
    ],
)
def test_only_a_gateway_on_loopback_may_tunnel_to_everywhere(listen, others, fine):
    if fine:
        assert Gateway(listen=listen, others=others).listen == listen
    else:
        with pytest.raises(ValidationError, match="open proxy"):
            Gateway(listen=listen, others=others)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("", False),
    ],
)
def test_loopback_is_only_what_is_certainly_this_machine(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("text", "expected"),
    [("h:1", ("h", 1)), ("[::1]:65535", ("::1", 65535)), ("h:0", ("h", 0))],
)
def test_host_and_port(text, expected):
    assert split_host_port(text) == expected


@pytest.mark.parametrize("text", ["h", "h:", ":1", "h:65536", "::1:80", "h:1/", "h: 1", "u@h:1", "h:1\n", "h:\uff11"])
def test_what_is_no_host_and_port_is_refused(text):
    with pytest.raises(ValueError, match="write host:port"):
        split_host_port(text)


@pytest.mark.parametrize(
    ("keep", "problem"),
    [
        ({}, None),
        ({"bodies": "30d"}, None),
        ({"bodies": "30d", "statements": "180d"}, None),
        ({"bodies": "30d", "statements": "180d", "metadata": "400d"}, None),
        ({"bodies": "30d", "statements": "30d", "metadata": "30d"}, None),
        ({"bodies": "0s", "statements": "0s"}, None),
        ({"statements": "180d"}, "`bodies` are kept for ever where nothing is named, and a body holds the statement"),
        ({"bodies": "181d", "statements": "180d"}, "`bodies` are kept longer, and a body holds the statement"),
        ({"metadata": "400d"}, "`statements` are kept for ever where nothing is named"),
        ({"bodies": "30d", "metadata": "400d"}, "`statements` are kept for ever where nothing is named"),
        ({"bodies": "1d", "statements": "401d", "metadata": "400d"}, "`statements` are kept longer"),
        ({"bodies": "for ever"}, "write a duration"),
        ({"rows": "30d"}, "Extra inputs"),
    ],
)
def test_what_holds_more_is_not_kept_longer(keep, problem):
    if problem is None:
        assert Keep.model_validate(keep).model_dump(exclude_none=True).keys() == keep.keys()
    else:
        with pytest.raises(ValidationError, match=problem):
            Keep.model_validate(keep)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"endpoint": "127.0.0.1:9050"}, None),
        ({"endpoint": "[::1]:9050", "endpoint_names": ("host.docker.internal",)}, None),
        ({"endpoint": "0.0.0.0:9050", "endpoint_names": ("BigQuery.acme.internal.",)}, None),
        ({"endpoint": "10.0.0.5:9050", "endpoint_certificate": "endpoint.pem"}, None),
        ({"endpoint": "0.0.0.0:9050"}, "TLS only"),
        ({"endpoint": "gateway.acme.internal:9050"}, "TLS only"),
        ({"endpoint": "127.0.0.1:8080"}, "port of its own"),
        ({"endpoint": "9050"}, "host:port"),
        ({"endpoint_names": ("bigquery.acme.internal",)}, "without `endpoint"),
        ({"endpoint": "127.0.0.1:9050", "endpoint_names": ("https://bigquery.acme.internal",)}, "host name"),
        ({"endpoint": "127.0.0.1:9050", "endpoint_names": ("bigquery.acme.internal:443",)}, "host name"),
        ({"endpoint": "127.0.0.1:9050", "endpoint_names": ("*",)}, "host name"),
        ({"endpoint": "0.0.0.0:9050", "endpoint_names": ("10.0.0.5",)}, "host name"),
    ],
)
def test_an_endpoint_beyond_loopback_speaks_tls(settings, problem):
    if problem is None:
        assert Gateway(**settings).endpoint == settings["endpoint"]
    else:
        with pytest.raises(ValidationError, match=problem):
            Gateway(**settings)


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("bigquery-acme.p.googleapis.com", None),
        ("BigQueryStorage-Acme.p.googleapis.com.", None),
        ("storage-acme.p.googleapis.com", "no private name"),
        ("bigquery.p.googleapis.com", "no private name"),
        ("p.googleapis.com", "no private name"),
        ("bigquery-acme.p.googleapis.com.evil.example", "no private name"),
        ("bigquery.acme.internal", "no private name"),
        ("https://bigquery-acme.p.googleapis.com", "host name"),
        ("*.p.googleapis.com", "host name"),
    ],
)
def test_a_private_host_is_bigquerys(host, problem):
    """The authority vouches for it, and the credential goes there."""
    if problem is None:
        [private] = Gateway(private_hosts=(host,)).private_hosts
        assert private == host.lower().rstrip(".")
        assert private in vouched_for(Gateway(private_hosts=(host,)))
    else:
        with pytest.raises(ValidationError, match=problem):
            Gateway(private_hosts=(host,))
