"""The gRPC side of the front: BigQuery's Storage Read and Write services, byte for byte the emulator's."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.bigquery import hosts
from hoop_mitm.devkit.estimates import TableName
from hoop_mitm.devkit.jobs import Jobs
from hoop_mitm.devkit.pki import Certificate
from hoop_mitm.devkit.visitors import SeenRequest, Visitors
from hoop_mitm.errors import SandboxError

#: Every name under which Google's public servers answer, so that none of them is asked by mistake.
HOSTS = (hosts.STORAGE_HOST, "bigquerystorage.mtls.googleapis.com", *sorted(hosts.STORAGE_HOSTS - {hosts.STORAGE_HOST}))

_READ = "/google.cloud.bigquery.storage.v1.BigQueryRead/"
_WRITE = "/google.cloud.bigquery.storage.v1.BigQueryWrite/"
_UNARY = {
    f"{_READ}CreateReadSession",
    f"{_READ}SplitReadStream",
    f"{_WRITE}CreateWriteStream",
    f"{_WRITE}GetWriteStream",
    f"{_WRITE}FinalizeWriteStream",
    f"{_WRITE}BatchCommitWriteStreams",
    f"{_WRITE}FlushRows",
}
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_STATUS_OF_HTTP = {
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class StorageFront:
    """A gRPC server with TLS for the Storage API's host names."""

    def __init__(self, emulator_port: int, jobs: Jobs, visitors: Visitors) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{emulator_port}", options=_OPTIONS)
        self._jobs = jobs
        self._visitors = visitors
        self._server: grpc.Server | None = None

    def start(self, certificate: Certificate) -> int:
        """Returns the port.

        Raises:
            SandboxError: if the server does not come up.
        """
        self._server = grpc.server(ThreadPoolExecutor(32, thread_name_prefix="world-grpc"), options=_OPTIONS)
        self._server.add_generic_rpc_handlers([_Handlers(self)])
        credentials = grpc.ssl_server_credentials([(certificate.key.read_bytes(), certificate.chain.read_bytes())])
        port: int = self._server.add_secure_port("127.0.0.1:0", credentials)
        if not port:
            raise SandboxError("The Storage API of the local world could not open a port. Try again.")
        self._server.start()
        return port

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(grace=None).wait(5)
        self._channel.close()

    def unary(self, method: str, request: bytes, context: Any) -> bytes:
        self._admit(method, context, request)
        if method.endswith("/CreateReadSession"):
            self._materialise(request)
        try:
            answer: bytes = self._channel.unary_unary(method)(request, timeout=300, metadata=_passed_on(context))
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        self._visitors.wait_after()
        return answer

    def read_rows(self, method: str, request: bytes, context: Any) -> Iterator[bytes]:
        self._admit(method, context, request)
        yield from self._relay(self._channel.unary_stream(method)(request, metadata=_passed_on(context)), context)
        self._visitors.wait_after()

    def append_rows(self, method: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self._admit(method, context, b"")
        yield from self._relay(self._channel.stream_stream(method)(requests, metadata=_passed_on(context)), context)

    def _relay(self, call: Any, context: Any) -> Iterator[bytes]:
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def _admit(self, method: str, context: Any, body: bytes) -> None:
        headers = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        scheme, _, token = headers.get("authorization", "").partition(" ")
        who = self._visitors.who(token if scheme.lower() == "bearer" else None)
        self._visitors.remember(
            SeenRequest(
                protocol="grpc",
                method="POST",
                host=HOSTS[0],
                path=method,
                who=who,
                at=time.time(),
                headers=headers,
                body=body,
            )
        )
        if who is None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials.")
        self._visitors.wait_before()
        if (fault := self._visitors.fault()) is not None:
            context.abort(_STATUS_OF_HTTP.get(fault.status, grpc.StatusCode.INTERNAL), fault.message)

    def _materialise(self, request: bytes) -> None:
        table = types.CreateReadSessionRequest.deserialize(request).read_session.table
        match table.split("/"):
            case ["projects", project, "datasets", dataset, "tables", name]:
                self._jobs.tables.materialise(TableName(project, dataset, name))


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types.
    def __init__(self, front: StorageFront) -> None:
        self._front = front

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        front = self._front
        if method in _UNARY:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: front.unary(method, request, context))
        if method == f"{_READ}ReadRows":
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: front.read_rows(method, request, context)
            )
        if method == f"{_WRITE}AppendRows":
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: front.append_rows(method, requests, context)
            )
        return None


def _passed_on(context: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in context.invocation_metadata() if name == "x-goog-request-params"]
