"""Under which names BigQuery is served, which are refused in words, and which it is not."""

import pytest

from hoop_mitm.bigquery.hosts import (
    BIGQUERY_HOSTS,
    INTERCEPTED_HOSTS,
    PRIVATE,
    REFUSED_HOSTS,
    TOKEN_HOSTS,
    api_of,
    is_bigquery_host,
    why_refused,
)

MINE = frozenset({"bigquery-acme.p.googleapis.com", "bigquerystorage-acme.p.googleapis.com", "evil.example"})


@pytest.mark.parametrize(
    ("host", "api"),
    [
        ("bigquery.googleapis.com", "rest"),
        ("www.googleapis.com", "rest"),
        ("bigquerystorage.googleapis.com", "storage"),
        # Regional, and what they were called before.
        ("bigquery.europe-west3.rep.googleapis.com", "rest"),
        ("bigquery.us.rep.googleapis.com", "rest"),
        ("us-bigquery.googleapis.com", "rest"),
        ("eu-bigquery.googleapis.com", "rest"),
        ("us-east4-bigquery.googleapis.com", "rest"),
        ("bigquerystorage.me-central2.rep.googleapis.com", "storage"),
        ("us-bigquerystorage.googleapis.com", "storage"),
        # Private: those that hoop.yaml lists.
        ("bigquery-acme.p.googleapis.com", "rest"),
        ("bigquerystorage-acme.p.googleapis.com", "storage"),
        ("bigquery-other.p.googleapis.com", None),
        ("evil.example", None),
        ("p.googleapis.com", None),
        # With a certificate of the client's own; sisters; no such place.
        ("bigquery.mtls.googleapis.com", None),
        ("bigquerystorage.mtls.googleapis.com", None),
        ("bigqueryreservation.googleapis.com", None),
        ("bigquery.atlantis.rep.googleapis.com", None),
        ("atlantis-bigquery.googleapis.com", None),
        # Other spellings, and look-alikes.
        ("BigQuery.googleapis.com", None),
        ("bigquery.googleapis.com.", None),
        ("bigquery.googleapis.com.evil.example", None),
        ("evilbigquery.googleapis.com", None),
        ("us_bigquery.googleapis.com", None),
        ("us--bigquery.googleapis.com", None),
        ("bigquery.us.rep.googleapis.com.", None),
        ("rep.googleapis.com", None),
        ("storage.googleapis.com", None),
        ("googleapis.com", None),
    ],
)
def test_which_api_answers_at_a_host(host, api):
    assert api_of(host, MINE) == api


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("bigquery.mtls.googleapis.com", "GOOGLE_API_USE_MTLS_ENDPOINT=never"),
        ("bigquerystorage.mtls.googleapis.com", "GOOGLE_API_USE_CLIENT_CERTIFICATE=false"),
        ("bigqueryconnection.googleapis.com", "another API"),
        ("bigquery-other.p.googleapis.com", "gateway.private_hosts"),
        ("atlantis-bigquery.googleapis.com", "Use bigquery.googleapis.com"),
    ],
)
def test_a_host_that_is_not_served_is_refused_in_words(host, words):
    assert words in why_refused(host)


def test_what_is_vouched_for_is_narrow():
    """A constraint of the authority covers a name and all below it: none may be the parent of somebody else's."""
    assert BIGQUERY_HOSTS | REFUSED_HOSTS | TOKEN_HOSTS == INTERCEPTED_HOSTS
    assert not BIGQUERY_HOSTS & (REFUSED_HOSTS | TOKEN_HOSTS)
    for host in INTERCEPTED_HOSTS - TOKEN_HOSTS - {"www.googleapis.com"}:
        assert "bigquery" in host
        assert host.endswith(".googleapis.com")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in sorted(BIGQUERY_HOSTS)[::9]),
        ("BIGQUERY.GoogleAPIs.com", True),
        ("bigquery.googleapis.com.", True),
        ("us-bigquery.googleapis.com", True),
        ("bigquery.europe-west3.rep.googleapis.com", True),
        ("bigquery.mtls.googleapis.com", True),
        ("www.mtls.googleapis.com", True),
        ("content-bigquery.googleapis.com", True),
        ("bigquery.clients6.google.com", True),
        ("bigquery.cloud.google.com", False),
        ("bigquerystorage-psc.p.googleapis.com", True),
        ("bigquery.googleapis.com.evil.example", False),
        ("storage.googleapis.com", False),
        ("bigquery.example.com", False),
        ("api.cursor.sh", False),
    ],
)
def test_every_name_of_bigquery_is_known_as_such(host, expected):
    assert is_bigquery_host(host) is expected


@pytest.mark.parametrize(
    "host", ["bigquery-.p.googleapis.com", "bigquery.p.googleapis.com", "storage-a.p.googleapis.com"]
)
def test_what_is_no_private_name_of_bigquerys(host):
    assert not PRIVATE.fullmatch(host)
