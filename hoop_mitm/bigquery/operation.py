"""What a flow means to BigQuery."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

type Kind = Literal["read", "write", "admin", "metadata"]
type Protocol = Literal["rest", "grpc"]
type Body = Literal["none", "json", "multipart", "media", "grpc", "batch", "jsonrpc"]
type JobType = Literal["query", "load", "copy", "extract"]
type Dataset = tuple[str | None, str]
"""Project, where one is named, and dataset."""


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table's full name; ``str`` gives ``project.dataset.table``."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


@dataclass(frozen=True, slots=True)
class Resource:
    """Something at Google that belongs to the principal who made it.

    ``kind`` is one of ``job``, ``table`` (an anonymous result table), ``bq_session``, ``read_session``,
    ``read_stream``, ``write_stream``, ``upload``, ``mcp_session``; ``id`` is unique within the kind
    (a job's is ``project:jobId``, a table's ``project.dataset.table``, a stream's its resource name).
    """

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Door:
    """One way into BigQuery: a REST method or a gRPC method.

    Attributes:
        name: Google's own name (``jobs.query``, ``tabledata.list``, ``storage.ReadRows``).
        kind: the most that it can do before a statement is looked at.
        protocol: ``rest`` or ``grpc``.
        body: what its request carries.
        streams_request / streams_response: the message is passed on as it comes, never held whole.
        refused: why nobody gets through, in a sentence for the client's user; empty for a door that opens.
    """

    name: str
    kind: Kind
    protocol: Protocol = "rest"
    body: Body = "none"
    streams_request: bool = False
    streams_response: bool = False
    refused: str = ""


# What a job does that runs no statement; an extract takes rows out of BigQuery.
_KIND_OF_JOB: Final[Mapping[str, Kind]] = {"load": "write", "copy": "write", "extract": "read"}


@dataclass(frozen=True, slots=True)
class Operation:
    """A door with the facts of one request.

    Attributes:
        door: which door.
        project: the project in the path or resource name, whose quota and jobs it is.
        location: BigQuery's location when the request names one.
        tables: tables that the request names outside of SQL (path, configuration, read session).
        statement: the SQL text, exactly as sent.
        dry_run: BigQuery is asked to estimate only.
        job_id: the job that this is about, when the request says so.
        labels: the labels that the client put on the job.
        projects: every project that the request names outside of SQL, sorted.
        uses: resources that the request names and that must be the principal's own.
        claims: resources that the request wants to create under a name of its own choice (a client-chosen job id):
            they must not belong to another principal, and are the principal's own once BigQuery says that they exist.
        body: the parsed JSON of a ``json`` door (without duplicate keys), the metadata part of a multipart one, or the
            arguments of an MCP tool.
        datasets: every dataset that the request names outside of SQL, its tables' included, as ``project.dataset``.
        job_type: what kind of job it starts.
        destination: the table that the job writes to, where the request names one.
        legacy_sql: whether the statement is legacy SQL; ``None`` when the request leaves that to a default.
        default_dataset: what names without a dataset are in.
        dataset_project: the project that datasets without one are in, where the request sets another than ``project``.
        parts: the operations of a batch, each of which must be allowed; empty for anything else.
    """

    door: Door
    project: str
    location: str | None = None
    tables: tuple[TableRef, ...] = ()
    statement: str | None = None
    dry_run: bool = False
    job_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    projects: tuple[str, ...] = ()
    uses: tuple[Resource, ...] = ()
    claims: tuple[Resource, ...] = ()
    body: dict[str, object] | None = None
    datasets: tuple[str, ...] = ()
    job_type: JobType | None = None
    destination: TableRef | None = None
    legacy_sql: bool | None = None
    default_dataset: Dataset | None = None
    dataset_project: str | None = None
    parts: "tuple[Operation, ...]" = ()

    @property
    def kind(self) -> Kind:
        """The most that this request can do before its statement is looked at."""
        return _KIND_OF_JOB.get(self.job_type or "", self.door.kind)

    @property
    def questions(self) -> "tuple[Operation, ...]":
        """What has to be allowed, one by one: the parts of a batch, otherwise itself."""
        return self.parts or (self,)
