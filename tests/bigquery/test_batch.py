"""Batches: several requests in one, each of which must be understood."""

import email

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoop_mitm.bigquery import batch, find, read
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.errors import Denied

HOST = "bigquery.googleapis.com"
V2 = "/bigquery/v2/projects/acme"
TABLES = f"GET {V2}/datasets/shop/tables HTTP/1.1"
ORDERS = f"GET {V2}/datasets/shop/tables/orders?fields=schema HTTP/1.1"
KIND = 'multipart/mixed; boundary="===1=="'


def part(request, *, headers="", identity="<a + 1>", kind="application/http", more=""):
    """As google-api-python-client writes it."""
    return (
        f"Content-Type: {kind}\nMIME-Version: 1.0\nContent-Transfer-Encoding: binary\nContent-ID: {identity}\n{more}\n"
        f"{request}\n{headers}\n\n"
    )


def body(*parts):
    return ("".join(f"--===1==\n{each}\n" for each in parts) + "--===1==--").encode()


def understood(data, kind=KIND, headers=(), query=()):
    door = find(HOST, "POST", "/batch/bigquery/v2")
    assert door
    return read(
        door, path="/batch/bigquery/v2", query=query, headers={"content-type": kind, **dict(headers)}, body=data
    )


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_each_part_is_an_operation_and_the_whole_names_what_its_parts_name(newline):
    data = body(part(TABLES), part(ORDERS, identity="<a + 2>")).replace(b"\n", newline)
    operation = understood(data)
    assert operation.door.name == "batch"
    assert [each.door.name for each in operation.questions] == ["tables.list", "tables.get"]
    assert operation.tables == (TableRef("acme", "shop", "orders"),)
    assert operation.projects == ("acme",)
    assert operation.datasets == ("acme.shop",)


def test_what_leaves_is_written_anew_without_credentials():
    data = body(part(TABLES, headers="Authorization: Bearer eyJ.secret\nHost: bigquery.googleapis.com\nAccept: a/b\n"))
    leaves = batch.rewritten(data, {"content-type": KIND})
    assert b"secret" not in leaves
    assert b"uthorization" not in leaves
    [again] = batch.parts(leaves, KIND)
    assert (again.method, again.target, again.id) == ("GET", f"{V2}/datasets/shop/tables", "<a + 1>")
    assert again.headers == {"accept": "a/b"}


def test_another_project_in_a_part_is_a_project_of_the_whole():
    operation = understood(body(part(TABLES), part(TABLES.replace("acme", "other"), identity="<2>")))
    assert operation.projects == ("acme", "other")
    operation = understood(body(part(TABLES, headers="X-Goog-User-Project: other\n")))
    assert operation.projects == ("acme", "other")


QUERY = f"POST {V2}/queries HTTP/1.1"
EVASIONS = {
    "a statement": (body(part(QUERY)), "does not serve jobs.query in a batch"),
    "the second is a statement": (body(part(TABLES), part(QUERY, identity="<2>")), "Part 2 of this batch"),
    "rows": (body(part(f"GET {V2}/datasets/shop/tables/orders/data HTTP/1.1")), "tabledata.list"),
    "a job": (body(part(f"GET {V2}/jobs/j HTTP/1.1")), "jobs.get"),
    "a deletion": (body(part(f"DELETE {V2}/datasets/shop/tables/orders HTTP/1.1")), "tables.delete"),
    "access": (body(part(f"POST {V2}/datasets/shop/tables/t:setIamPolicy HTTP/1.1")), "who may read"),
    "an unknown method": (body(part("GET /storage/v1/b HTTP/1.1")), "does not know GET /storage/v1/b"),
    "a batch": (body(part("POST /batch HTTP/1.1")), "does not serve batch in a batch"),
    "MCP": (body(part("POST /mcp HTTP/1.1")), "in a batch"),
    "an override": (body(part(TABLES, headers="X-HTTP-Method-Override: DELETE\n")), "x-http-method-override"),
    "an unknown header": (body(part(TABLES, headers="X-Forwarded-Host: evil.example\n")), "x-forwarded-host"),
    "a header twice": (body(part(TABLES, headers="Accept: a\nAccept: b\n")), "twice"),
    "a folded header": (body(part(TABLES, headers="Accept: a\n b\n")), "not plain"),
    "another host": (body(part(TABLES, headers="Host: evil.example\n")), "another host"),
    "an absolute URL": (body(part(f"GET https://evil.example{V2}/datasets HTTP/1.1")), "names its host"),
    "a token in the URL": (body(part(f"GET {V2}/datasets?access_token=ya29.x HTTP/1.1")), "credential"),
    "a body": (body(part(TABLES, headers='\n{"a": 1}')), "has a body where"),
    "no request line": (body(part("hello")), "request line"),
    "HTTP/2": (body(part(TABLES.replace("1.1", "2.0"))), "request line"),
    "a path that leads up": (body(part(f"GET {V2}/datasets/../datasets HTTP/1.1")), "does not know"),
    "a fragment": (body(part(f"GET {V2}/datasets#x HTTP/1.1")), "percent-encoded"),
    "another kind of part": (body(part(TABLES, kind="application/json")), "application/http"),
    "a header of the part": (body(part(TABLES, more="Authorization: Bearer x\n")), "authorization"),
    "one Content-ID for two": (body(part(TABLES), part(TABLES)), "same Content-ID"),
    "something before": (b"hello\n" + body(part(TABLES)), "told apart"),
    "something behind": (body(part(TABLES)) + b"\nhello", "told apart"),
    "no end": (body(part(TABLES))[:-2], "told apart"),
    "no parts": (b"--===1==--", "told apart"),
    "a boundary within": (body(part(TABLES, headers="Accept: --===1==x\n")), "told apart"),
    "a bare return": (body(part(TABLES)).replace(b"Accept", b"\rAccept") + b"\r", "told apart"),
    "too many": (body(*(part(TABLES, identity=f"<{n}>") for n in range(1001))), "1000 parts"),
}


@pytest.mark.parametrize(("data", "words"), EVASIONS.values(), ids=EVASIONS)
def test_a_batch_that_is_refused_names_the_part(data, words):
    with pytest.raises(Denied) as refused:
        understood(data)
    assert words in str(refused.value)


SNIPPETS = st.sampled_from(
    ["--===1==", "--===1==--", "\n", "\r\n", "\n\n", " ", "\t", ":", "GET", "Accept: a", "Authorization: Bearer x", "\x00", "é",
     "Content-Type: application/http", f"GET {V2}/queries/j HTTP/1.1", "Content-Length: 3", "\x85", "HTTP/1.1"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), SNIPPETS), max_size=4), st.booleans())
def test_what_leaves_is_what_was_understood(changes, crlf):
    """Whatever was put into a batch, another reader finds the same requests in what leaves, and no credential."""
    text = body(part(TABLES, headers="Accept: a/b\n"), part(ORDERS, identity="<a + 2>")).decode()
    text = text.replace("\n", "\r\n") if crlf else text
    for place, snippet in changes:
        text = text[:place] + snippet + text[place:]
    data = text.encode()
    try:
        operation = understood(data)
    except Denied:
        return
    leaves = batch.rewritten(data, {"content-type": KIND})
    read_by_another = email.message_from_bytes(f"Content-Type: {KIND}\r\n\r\n".encode() + leaves)
    requests = [each.get_payload() for each in read_by_another.get_payload()]
    assert len(requests) == len(operation.parts)
    for request, found in zip(requests, batch.parts(data, KIND), strict=True):
        assert request.splitlines()[0] == f"{found.method} {found.target} HTTP/1.1"
        assert "uthorization" not in request


@pytest.mark.parametrize(
    ("kind", "headers", "query"),
    [
        ("application/json", {}, ()),
        ("multipart/related; boundary====1==", {}, ()),
        ("multipart/mixed", {}, ()),
        ("multipart/mixed; boundary=a; boundary====1==", {}, ()),
        (KIND, {"content-encoding": "gzip"}, ()),
        (KIND, {}, [("fields", "x")]),
    ],
)
def test_a_batch_that_could_be_read_in_two_ways(kind, headers, query):
    with pytest.raises(Denied):
        understood(body(part(TABLES)), kind, headers, query)
