"""The Storage API over gRPC, with Google's own clients."""

from collections.abc import Iterator

import google.api_core.exceptions
import grpc
import pytest
from google.cloud import bigquery, bigquery_storage
from google.cloud.bigquery_storage_v1 import types
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from hoop_mitm.devkit.world import World
from tests.devkit.google_clients import bigquery_client, read_client, write_client


@pytest.fixture(scope="module")
def client(world: World) -> bigquery.Client:
    return bigquery_client(world)


@pytest.fixture(scope="module")
def reader(world: World) -> bigquery_storage.BigQueryReadClient:
    return read_client(world)


def test_a_table_is_read_as_arrow(client: bigquery.Client, reader: bigquery_storage.BigQueryReadClient) -> None:
    table = client.list_rows("acme.shop.orders", selected_fields=None).to_arrow(bqstorage_client=reader)
    assert table.num_rows >= 900
    assert "items" in table.schema.names


def test_a_query_result_is_read_through_the_storage_api(
    world: World, client: bigquery.Client, reader: bigquery_storage.BigQueryReadClient
) -> None:
    world.bigquery.forget_requests()
    # More columns than fit one answer are not needed: an explicit client makes the library go through gRPC.
    rows = client.query("SELECT id, name, address, created_at FROM shop.customers ORDER BY id").result()
    table = rows.to_arrow(bqstorage_client=reader)
    seen = [request.path.rpartition("/")[2] for request in world.bigquery.requests() if request.protocol == "grpc"]

    assert table.column("name")[2].as_py() == "Kofi Dubois"
    assert seen == ["CreateReadSession", "ReadRows"]
    assert {request.who for request in world.bigquery.requests()} == {world.google.gateway_account.email}


def test_a_session_can_select_filter_and_speak_avro(world: World, reader: bigquery_storage.BigQueryReadClient) -> None:
    session = reader.create_read_session(
        parent=f"projects/{world.project}",
        read_session=types.ReadSession(
            table="projects/acme/datasets/shop/tables/customers",
            data_format=types.DataFormat.AVRO,
            read_options=types.ReadSession.TableReadOptions(selected_fields=["id"], row_restriction="id <= 3"),
        ),
        max_stream_count=1,
    )
    rows = list(reader.read_rows(session.streams[0].name).rows(session))
    assert sorted(row["id"] for row in rows) == [1, 2, 3]


def test_rows_are_appended_through_the_write_api(world: World, client: bigquery.Client) -> None:
    client.query_and_wait("CREATE OR REPLACE TABLE shop.appended (a INT64)")
    table = "projects/acme/datasets/shop/tables/appended"
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="shop")
    message = file.message_type.add(name="Row")
    message.field.add(name="a", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    row = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Row"))

    def requests() -> Iterator[types.AppendRowsRequest]:
        data = types.AppendRowsRequest.ProtoData(
            writer_schema=types.ProtoSchema(proto_descriptor=message),
            rows=types.ProtoRows(serialized_rows=[row(a=number).SerializeToString() for number in (7, 8)]),
        )
        yield types.AppendRowsRequest(write_stream=f"{table}/streams/_default", proto_rows=data)

    answers = list(write_client(world).append_rows(requests()))

    assert not answers[0].error.message
    assert sorted(value["a"] for value in client.list_rows("acme.shop.appended")) == [7, 8]


def test_an_error_of_the_service_arrives_as_one(reader: bigquery_storage.BigQueryReadClient) -> None:
    with pytest.raises(google.api_core.exceptions.GoogleAPICallError):
        reader.create_read_session(
            parent="projects/acme",
            read_session=types.ReadSession(
                table="projects/acme/datasets/shop/tables/nowhere", data_format=types.DataFormat.ARROW
            ),
            retry=None,
        )


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer ya29.invented"),)], ids=["none", "invented"])
def test_nothing_but_an_issued_token_gets_in(world: World, metadata: tuple[tuple[str, str], ...]) -> None:
    channel = grpc.secure_channel(
        world.grpc_address,
        grpc.ssl_channel_credentials(world.ca.read_bytes()),
        options=[("grpc.ssl_target_name_override", "bigquerystorage.googleapis.com"), ("grpc.enable_http_proxy", 0)],
    )
    call = channel.unary_unary("/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession")
    with channel, pytest.raises(grpc.RpcError) as failure:
        call(b"", metadata=metadata, timeout=60)
    assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_next_call_can_fail(world: World, reader: bigquery_storage.BigQueryReadClient) -> None:
    world.bigquery.fail_next(403, "accessDenied", "not today")
    with pytest.raises(google.api_core.exceptions.PermissionDenied, match="not today"):
        reader.create_read_session(
            parent="projects/acme",
            read_session=types.ReadSession(
                table="projects/acme/datasets/shop/tables/orders", data_format=types.DataFormat.ARROW
            ),
        )
