"""Google's upload protocols, as far as load jobs use them."""

import json
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from hoop_mitm.devkit.api import API, ApiError, json_object
from hoop_mitm.devkit.estimates import TableName
from hoop_mitm.devkit.http import Request, Response
from hoop_mitm.devkit.jobs import Jobs


@dataclass(slots=True)
class _Upload:
    project: str
    body: dict[str, Any]
    who: str
    size: int | None
    received: bytearray = field(default_factory=bytearray)


class Uploads:
    """Google's three upload protocols, as far as load jobs use them."""

    def __init__(self, jobs: Jobs, directory: Path) -> None:
        self._jobs = jobs
        self._directory = directory
        self._pending: dict[str, _Upload] = {}

    def handle(self, request: Request, method: str, who: str | None) -> Response:
        parts = API.sub("", request.path).strip("/").split("/")
        if len(parts) != 3 or parts[0] != "projects" or parts[2] != "jobs":  # noqa: PLR2004
            raise ApiError(404, "notFound", "Not Found")
        upload_id = request.argument("upload_id")
        if upload_id:
            return self._continue(request, upload_id)
        if method != "POST":
            raise ApiError(405, "httpMethodNotAllowed", "Method Not Allowed")
        match request.argument("uploadType"):
            case "multipart":
                metadata, media = _multipart(request)
                return Response.json(self._load(parts[1], metadata, media, who or ""))
            case "resumable":
                return self._begin(request, parts[1], who or "")
        raise ApiError(400, "invalid", "uploadType must be multipart or resumable for load jobs.")

    def _begin(self, request: Request, project: str, who: str) -> Response:
        upload_id = secrets.token_urlsafe(60)
        declared = request.headers.get("x-upload-content-length")
        self._pending[upload_id] = _Upload(project, json_object(request), who, int(declared) if declared else None)
        query = urlencode({"uploadType": "resumable", "upload_id": upload_id})
        location = f"https://{request.host}/upload/bigquery/v2/projects/{quote(project)}/jobs?{query}"
        return Response(200, headers={"location": location, "x-guploader-uploadid": upload_id})

    def _continue(self, request: Request, upload_id: str) -> Response:
        upload = self._pending.get(upload_id)
        if upload is None:
            raise ApiError(404, "notFound", "Upload session not found.")
        content = request.content()
        if content_range := request.headers.get("content-range"):
            match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range)
            if match is None or (match[1] and int(match[1]) != len(upload.received)):
                raise ApiError(400, "badRequest", f"Invalid or out-of-order Content-Range: {content_range}")
            if match[3] != "*":
                upload.size = int(match[3])
            upload.received += content if match[1] else b""
        else:
            upload.received += content
            upload.size = len(upload.received)
        if upload.size is None or len(upload.received) < upload.size:
            got = {"range": f"bytes=0-{len(upload.received) - 1}"} if upload.received else {}
            return Response(308, headers=got)
        del self._pending[upload_id]
        return Response.json(self._load(upload.project, upload.body, bytes(upload.received), upload.who))

    def _load(self, project: str, body: dict[str, Any], media: bytes, who: str) -> dict[str, Any]:
        configuration = dict(body.get("configuration") or {})
        if "load" not in configuration:
            raise ApiError(400, "required", "Required parameter is missing: configuration.load")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / secrets.token_hex(8)
        path.write_bytes(self._with_header(media, project, configuration["load"]))
        try:
            load = dict(configuration["load"]) | {"sourceUris": [f"file://{path}"]}
            reference = body.get("jobReference") or {}
            job = self._jobs.run(project, configuration | {"load": load}, who, str(reference.get("jobId") or ""))
        finally:
            path.unlink(missing_ok=True)
        job.resource["configuration"]["load"].pop("sourceUris", None)
        for error in (job.resource["status"].get("errorResult"), *job.resource["status"].get("errors", ())):
            if error:
                error["message"] = error["message"].replace(str(path), "the uploaded file")
                error.pop("location", None)
        statistics = job.resource["statistics"].setdefault("load", {})
        statistics |= {"inputFiles": "1", "inputFileBytes": str(len(media))}
        return job.resource

    def _with_header(self, media: bytes, project: str, load: dict[str, Any]) -> bytes:
        """CSV as the emulator wants it, which takes exactly one line for a header; BigQuery by default takes none."""
        if load.get("sourceFormat", "CSV") != "CSV" or load.get("autodetect"):
            return media
        skipped = int(load.get("skipLeadingRows") or 0)
        if skipped:
            return media.split(b"\n", skipped - 1)[-1]
        fields = (load.get("schema") or {}).get("fields")
        if fields:
            columns = [field["name"] for field in fields]
        else:
            target = load["destinationTable"]
            name = TableName(target.get("projectId", project), target["datasetId"], target["tableId"])
            known = self._jobs.tables.facts([name])[0]
            columns = list(known.columns) if known else []
        return ",".join(columns).encode() + b"\n" + media


def _multipart(request: Request) -> tuple[dict[str, Any], bytes]:
    """The two parts of ``multipart/related``: the job, and the bytes exactly as sent, whatever type they claim."""
    match = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if match is None:
        raise ApiError(400, "badRequest", "multipart upload without a boundary")
    sections = re.split(rb"(?:^|\r\n|\n)--" + re.escape(match[1].encode()), request.content())
    contents = [re.split(rb"\r?\n\r?\n", section, maxsplit=1)[-1] for section in sections[1:-1]]
    if len(contents) != 2:  # noqa: PLR2004
        raise ApiError(400, "badRequest", "multipart upload needs two parts: the job and the data")
    metadata = json.loads(contents[0])
    if not isinstance(metadata, dict):
        raise ApiError(400, "parseError", "The first part must be a job.")
    return metadata, contents[1]
