from pathlib import Path

import pytest

from hoop_mitm.client import BYPASSES, child_environment, client_environment, endpoint_environment

PROXY = "http://127.0.0.1:8080"


def environment(existing=None):
    return client_environment(PROXY, Path("/d/bundle.pem"), Path("/d/credentials.json"), "acme", existing or {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", PROXY),
        ("https_proxy", PROXY),
        ("grpc_proxy", PROXY),
        ("REQUESTS_CA_BUNDLE", "/d/bundle.pem"),
        ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "/d/bundle.pem"),
        ("NODE_EXTRA_CA_CERTS", "/d/bundle.pem"),
        ("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "/d/bundle.pem"),
        ("SSL_CERT_FILE", "/d/bundle.pem"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/d/credentials.json"),
        ("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "/d/credentials.json"),
        ("GOOGLE_CLOUD_PROJECT", "acme"),
        ("CLOUDSDK_CORE_PROJECT", "acme"),
        ("BIGQUERY_PROJECT", "acme"),
    ],
)
def test_each_family_of_clients_finds_its_variable_also_where_another_value_stood(variable, value):
    assert environment()[variable] == value
    assert child_environment({variable: "other"}, environment({variable: "other"}))[variable] == value


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy", "no_grpc_proxy"])
@pytest.mark.parametrize(
    ("existing", "kept"),
    [
        ("", []),
        ("intranet.example.com,.corp", ["intranet.example.com", ".corp"]),
        ("10.0.0.0/8, db:5432", ["10.0.0.0/8", "db:5432"]),
        ("127.0.0.1,localhost", []),
        ("fd00::1", ["fd00::1"]),
        ("notgoogleapis.com", ["notgoogleapis.com"]),
        ("metadata.google.internal", ["metadata.google.internal"]),
        ("*", []),
        ("googleapis.com", []),
        (".googleapis.com", []),
        ("*.googleapis.com", []),
        ("BigQuery.GoogleAPIs.com:443", []),
        (".com", []),
        ("bigquery.googleapis.com,ok.example", ["ok.example"]),
    ],
)
def test_no_proxy_keeps_what_does_not_lead_google_past_the_gateway(variable, existing, kept):
    assert environment({variable: existing})["NO_PROXY"].split(",") == ["127.0.0.1", "localhost", "::1", *kept]


def test_both_cases_of_no_proxy_say_the_same():
    variables = environment({"NO_PROXY": "a.example", "no_proxy": "b.example"})
    assert variables["NO_PROXY"] == variables["no_proxy"] == variables["no_grpc_proxy"]
    assert "a.example,b.example" in variables["NO_PROXY"]


@pytest.mark.parametrize("variable", BYPASSES)
def test_a_child_does_not_inherit_what_leads_past_the_gateway(variable):
    assert variable not in child_environment({variable: "x", "HOME": "/h"}, {})


def test_a_child_keeps_the_rest():
    assert child_environment({"HOME": "/h", "A": "old"}, {"A": "new"}) == {"HOME": "/h", "A": "new"}


def test_no_variable_that_names_an_endpoint_is_inherited():
    named = endpoint_environment("http://127.0.0.1:9", Path("c"), "p")
    assert {name for name, value in named.items() if "127.0.0.1" in value} <= set(BYPASSES)
