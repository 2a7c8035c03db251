"""Whose things are whose: what an answer says was made, and what may be shown of a list."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import msgspec

from hoop_mitm.bigquery import framing, hidden, mcp
from hoop_mitm.bigquery.content import Headers, lowered
from hoop_mitm.bigquery.operation import Operation, Resource
from hoop_mitm.bigquery.unreadable import Unreadable


def job_resource(project: str, job_id: str) -> Resource:
    """The resource of a job."""
    return Resource("job", f"{project}:{job_id}")


# What is not named here is skipped, not decoded: result rows cost a tenth of what they would.


class _Reference(msgspec.Struct, rename="camel"):
    project_id: str | None = None
    job_id: str | None = None


class _Table(msgspec.Struct, rename="camel"):
    project_id: str | None = None
    dataset_id: str | None = None
    table_id: str | None = None


class _Kind(msgspec.Struct, rename="camel"):
    destination_table: _Table | None = None


class _Configuration(msgspec.Struct, rename="camel"):
    query: _Kind | None = None
    load: _Kind | None = None
    copy: _Kind | None = None
    dry_run: bool | None = None


class _SessionInfo(msgspec.Struct, rename="camel"):
    session_id: str | None = None


class _Statistics(msgspec.Struct, rename="camel"):
    session_info: _SessionInfo | None = None
    parent_job_id: str | None = None


class _Job(msgspec.Struct, rename="camel"):
    job_reference: _Reference | None = None
    configuration: _Configuration | None = None
    statistics: _Statistics | None = None


class _Answer(_Job, rename="camel"):
    job: _Job | None = None
    session_info: _SessionInfo | None = None


class _Jobs(msgspec.Struct, rename="camel"):
    jobs: list[_Job] = []


_JOB_DOORS = frozenset({"jobs.insert", "jobs.query", "jobs.get", "jobs.getQueryResults", "jobs.cancel", "jobs.upload"})

_answers = msgspec.json.Decoder(_Answer)
_listed = msgspec.json.Decoder(_Jobs)


def created(operation: Operation, status: int, headers: Headers, body: bytes) -> tuple[Resource, ...]:
    """What an answer gives to the one who asked.

    Args:
        status: HTTP status of the answer.
        headers: of the answer.
        body: without content-encoding; of a gRPC call, its frames.

    An answer that cannot be read gives nothing: what it made is then out of everyone's reach.
    """
    if not 200 <= status < 300:  # noqa: PLR2004
        return ()
    door = operation.door
    try:
        if door.protocol == "grpc":
            return tuple(_streams(door.name, body, lowered(headers).get("grpc-encoding")))
        if door.body == "jsonrpc":
            return tuple(_mcp(operation, lowered(headers), body))
        if door.name in _JOB_DOORS:
            return tuple(_job_answer(operation, lowered(headers), body))
        if door.name == "jobs.list" and operation.job_id:
            return tuple(_children(operation, body))
    except (msgspec.DecodeError, Unreadable):
        pass
    return ()


def _mcp(operation: Operation, headers: dict[str, str], body: bytes) -> dict[Resource, None]:
    """A session with the server, and what a tool's answer tells about a job."""
    found: dict[Resource, None] = {}
    if session := headers.get(mcp.SESSION_HEADER):
        found[Resource("mcp_session", session)] = None
    if mcp.LIKE.get(operation.door.name) in _JOB_DOORS and (answer := mcp.answer(body).json):
        found |= _job_answer(operation, {}, answer)
    return found


def _job_answer(operation: Operation, headers: dict[str, str], body: bytes) -> dict[Resource, None]:
    found: dict[Resource, None] = {}
    if upload := _upload_id(headers.get("location")):
        found[Resource("upload", upload)] = None
    if operation.dry_run or not body:
        return found
    answer = _answers.decode(body)
    for job in (answer, answer.job):
        if job:
            _job(operation, job, found)
    if answer.session_info and answer.session_info.session_id:
        found[Resource("bq_session", answer.session_info.session_id)] = None
    # A `fields` mask may leave the reference out; the request has then said which job this is.
    reference = answer.job_reference or _Reference()
    job_id = reference.job_id or operation.job_id
    project = reference.project_id or operation.project
    if job_id and not (answer.configuration and answer.configuration.dry_run):
        found[job_resource(project, job_id)] = None
    return found


def _job(operation: Operation, job: _Job, found: dict[Resource, None]) -> None:
    configuration = job.configuration
    if configuration and configuration.dry_run:
        return
    reference = job.job_reference
    if reference and reference.job_id:
        found[job_resource(reference.project_id or operation.project, reference.job_id)] = None
    if configuration:
        for kind in (configuration.query, configuration.load, configuration.copy):
            table = kind.destination_table if kind else None
            if table and table.dataset_id and table.table_id and hidden.is_result(table.dataset_id, table.table_id):
                project = table.project_id or operation.project
                found[hidden.table_resource(project, table.dataset_id, table.table_id)] = None
    if job.statistics and (info := job.statistics.session_info) and info.session_id:
        found[Resource("bq_session", info.session_id)] = None


def _children(operation: Operation, body: bytes) -> dict[Resource, None]:
    """The statements of a script are jobs of their own, which belong to whoever ran the script."""
    found: dict[Resource, None] = {}
    for job in _listed.decode(body).jobs:
        if job.statistics and job.statistics.parent_job_id == operation.job_id:
            _job(operation, job, found)
    return found


def _upload_id(location: str | None) -> str | None:
    return parse_qs(urlsplit(location).query).get("upload_id", [None])[0] if location else None


def _streams(door: str, body: bytes, encoding: str | None) -> list[Resource]:
    messages = [framing.fields(message) for message in framing.messages(body, encoding, partial=True)]
    found: list[Resource] = []
    for message in messages:
        match door:
            case "storage.CreateReadSession":
                found.append(Resource("read_session", framing.text(message, 1)))
                found += (Resource("read_stream", _name(stream)) for stream in message.get(10, ()))
            case "storage.SplitReadStream":
                found += (Resource("read_stream", _name(s)) for number in (1, 2) for s in message.get(number, ()))
            case "storage.CreateWriteStream":
                found.append(Resource("write_stream", framing.text(message, 1)))
    return [resource for resource in found if resource.id]


def _name(stream: bytes) -> str:
    return framing.text(framing.fields(stream), 1)


_raw_answer = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_jobs = msgspec.json.Decoder(list[msgspec.Raw])
_job_reference = msgspec.json.Decoder(_Job)


def filter_jobs_list(body: bytes, mine: Callable[[Resource], bool]) -> bytes:
    """A ``jobs.list`` answer with only the jobs that ``mine`` says yes to; the rest of it stays byte for byte.

    A job without a reference (a ``fields`` mask) is left out: nobody can tell whose it is.

    Raises:
        Unreadable: the answer is not what ``jobs.list`` answers.
    """
    try:
        answer = _raw_answer.decode(body)
        if "jobs" not in answer:
            return body
        jobs = _raw_jobs.decode(answer["jobs"])
        answer["jobs"] = msgspec.Raw(msgspec.json.encode([job for job in jobs if _is(mine, job)]))
    except msgspec.DecodeError as error:
        raise Unreadable("BigQuery's list of jobs is not what it should be.") from error
    return msgspec.json.encode(answer)


def _is(mine: Callable[[Resource], bool], job: msgspec.Raw) -> bool:
    reference = _job_reference.decode(job).job_reference
    return bool(
        reference
        and reference.project_id
        and reference.job_id
        and mine(job_resource(reference.project_id, reference.job_id))
    )
