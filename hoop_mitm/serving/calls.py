"""What was asked without a job: datasets, tables, lists, changes to them. Told as recorded, in its order."""

import json
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from hoop_mitm.archive import FlowEntry
from hoop_mitm.bigquery.operation import Door
from hoop_mitm.bigquery.rows import Field, schema_fields
from hoop_mitm.devkit.http import Request
from hoop_mitm.serving.answers import Paging, Reply, scope_of
from hoop_mitm.serving.matching import Miss, Missed
from hoop_mitm.serving.question import Json, json_of
from hoop_mitm.serving.recorded import Recorded
from hoop_mitm.serving.rows import NotRead, Rows
from hoop_mitm.serving.turns import Taken

type Key = tuple[str, str]

# Asked for by clients in whatever spelling they like; the answer is cut to it.
_LAYOUT = frozenset({"alt", "prettyPrint", "fields", "key", "quotaUser", "$.xgafv", "$prettyPrint"})
_FOUND = 200


class Calls:
    """The recorded exchanges that belong to no job."""

    def __init__(self, recorded: Recorded) -> None:
        self._shelf = recorded.shelf
        self._by_path: dict[Key, list[FlowEntry]] = {}
        for flow in recorded.flows:
            if flow.protocol == "rest" and flow.door is not None and flow.status is not None:
                self._by_path.setdefault((flow.door, _path(flow.url)), []).append(flow)
        self._taken = Taken()

    def reset(self) -> None:
        """Begin from the start."""
        self._taken.reset()

    def answer(self, door: Door, path: str, query: Sequence[tuple[str, str]], sent: bytes) -> Reply:
        """What was answered to this. To cut it to ``fields`` is left to the caller.

        Raises:
            Missed: it was not asked, or otherwise.
        """
        found = self._by_path.get((door.name, path), [])
        body = _spelled(sent) if door.body == "json" else ""
        same = [flow for flow in found if self._body(flow) == body] if body else found
        exact = [flow for flow in same if _asked(flow.url) == _plain(query)]
        # Of a list whose pages were cut in another way, what has the same place.
        alike = exact or [flow for flow in same if _page(flow.url) == dict(query).get("pageToken")]
        if not alike:
            raise Missed(Miss(f"{door.name} {path}", _why(f"{door.name} of {path}", found)))
        # An answer that was cut to some fields lacks what others ask for.
        whole = [flow for flow in alike if _fields(flow.url) in ("", dict(query).get("fields", ""))] or alike
        flow = self._taken.next((door.name, path, _plain(query), body), whole)
        return self._reply(flow)

    def _reply(self, flow: FlowEntry) -> Reply:
        answer = self._shelf.answer(flow)
        found = json_of(answer)
        if found is not None:
            return Reply(flow.status or _FOUND, found)
        if answer is None and flow.response_size:
            raise Missed(Miss(f"{flow.method} {flow.url}", "What was answered to this is not in the recording."))
        headers = dict(self._shelf.exchange(flow).response_headers)
        kind = {name.lower(): value for name, value in headers.items()}.get("content-type")
        return Reply(flow.status or _FOUND, None, {"content-type": kind} if kind else {}, answer or b"")

    def _body(self, flow: FlowEntry) -> str:
        return _spelled(self._shelf.request(flow))


class Listings:
    """Rows of tables that were listed without a job."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._by_path: dict[tuple[str, str], list[Rows]] = {}
        self._taken = Taken()
        self._gather()

    def reset(self) -> None:
        """Begin from the start."""
        self._taken.reset()

    def answer(self, path: str, request: Request) -> Reply | None:
        """``tabledata.list``; ``None`` where no rows of this table, or not these columns, were listed.

        Raises:
            Missed: the recorded client had not read as far.
        """
        chosen = request.argument("selectedFields")
        found = self._by_path.get((path, chosen))
        if not found:
            return None
        token = request.argument("pageToken")
        scopes = [f"{path} {chosen} {number}" for number in range(len(found))]
        scope = scope_of(token) if token else self._taken.next((path, chosen), scopes)
        if scope not in scopes:
            raise ValueError("Invalid page token.")
        paging = Paging.of(request, scope)
        return listed(found[scopes.index(scope)], paging, request, path)

    def _gather(self) -> None:
        runs: dict[tuple[str, str], list[list[FlowEntry]]] = {}
        for flow in self._recorded.flows:
            if flow.door != "tabledata.list" or flow.status != _FOUND or flow.job_key is not None:
                continue
            query = dict(parse_qsl(urlsplit(flow.url).query))
            key = (_path(flow.url), query.get("selectedFields", ""))
            # A page that is asked for by a token, or further on, belongs to the listing before it.
            if key in runs and ("pageToken" in query or query.get("startIndex", "0") != "0"):
                runs[key][-1].append(flow)
            else:
                runs.setdefault(key, []).append([flow])
        for (path, selected), listed in runs.items():
            columns = self._columns(path, selected)
            self._by_path[path, selected] = [Rows(self._recorded.shelf, run, columns) for run in listed]

    def _columns(self, path: str, selected: str) -> tuple[Field, ...]:
        table = path.removesuffix("/data")
        for flow in self._recorded.flows:
            if flow.door == "tables.get" and flow.status == _FOUND and _path(flow.url) == table:
                fields = schema_fields((json_of(self._recorded.shelf.answer(flow)) or {}).get("schema"))
                wanted = set(selected.split(",")) if selected else set()
                return tuple(field for field in fields if not wanted or field.name in wanted)
        return ()


def listed(rows: Rows, paging: Paging, request: Request, what: str) -> Reply:
    """A page of ``tabledata.list``.

    Raises:
        Missed: the recorded client had not read as far.
    """
    integers = request.argument("formatOptions.useInt64Timestamp").lower() == "true"
    try:
        page = rows.page(paging.start, paging.size, integers=integers)
    except NotRead as error:
        raise Missed(
            Miss(what, f"Of {what} the recorded client read {error.end:,} rows, and more are asked for.")
        ) from error
    answer: Json = {"kind": "bigquery#tableDataList", "rows": page.rows}
    if rows.total is not None:
        answer["totalRows"] = str(rows.total)
    if page.following is not None:
        answer["pageToken"] = paging.token(page.following)
    return Reply(_FOUND, answer)


def _why(what: str, found: Sequence[FlowEntry]) -> str:
    if found:
        return f"The recording has {what}, but with another body, or for other pages."
    return f"The recording has no {what}."


def _plain(query: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in query if name not in _LAYOUT))


def _asked(url: str) -> tuple[tuple[str, str], ...]:
    return _plain(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _path(url: str) -> str:
    return unquote(urlsplit(url).path)


def _page(url: str) -> str | None:
    return dict(parse_qsl(urlsplit(url).query)).get("pageToken")


def _fields(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query)).get("fields", "")


def _spelled(sent: bytes | None) -> str:
    """A body in one spelling, without what is made up for each run."""
    body = json_of(sent)
    if body is None:
        return "" if not sent else sent.decode("utf-8", "replace")
    rows = body.get("rows")
    if isinstance(rows, list):
        body["rows"] = [
            {k: v for k, v in row.items() if k != "insertId"} if isinstance(row, dict) else row for row in rows
        ]
    return json.dumps(body, sort_keys=True)
