"""Google's own client libraries, unmodified, pointed straight at the local world."""

from collections.abc import Sequence

import google.auth.credentials
import google.auth.transport.grpc
import google.auth.transport.requests
import grpc
import requests
from google.cloud import bigquery, bigquery_storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.oauth2 import service_account

from hoop_mitm import outbound
from hoop_mitm.config.model import Upstream
from hoop_mitm.devkit.world import World

SCOPES = ("https://www.googleapis.com/auth/bigquery",)


def upstream(world: World) -> Upstream:
    return Upstream(ca=world.ca, hosts=world.hosts)


def transport(world: World) -> google.auth.transport.requests.Request:
    """What google-auth fetches tokens with."""
    return google.auth.transport.requests.Request(outbound.session(upstream(world)))


def credentials(world: World, scopes: Sequence[str] = SCOPES) -> service_account.Credentials:
    return service_account.Credentials.from_service_account_file(str(world.service_account_key), scopes=list(scopes))


def authorized(
    world: World, who: google.auth.credentials.Credentials | None = None
) -> google.auth.transport.requests.AuthorizedSession:
    session = google.auth.transport.requests.AuthorizedSession(who or credentials(world), auth_request=transport(world))
    lent: requests.Session = outbound.session(upstream(world))
    session.trust_env, session.verify = lent.trust_env, lent.verify
    for prefix, adapter in lent.adapters.items():
        session.mount(prefix, adapter)
    return session


def bigquery_client(world: World, who: google.auth.credentials.Credentials | None = None) -> bigquery.Client:
    who = who or credentials(world)
    return bigquery.Client(project=world.project, credentials=who, _http=authorized(world, who))


def read_client(world: World) -> bigquery_storage.BigQueryReadClient:
    return bigquery_storage.BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=_channel(world)))


def write_client(world: World) -> bigquery_storage.BigQueryWriteClient:
    return bigquery_storage.BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=_channel(world)))


def _channel(world: World) -> grpc.Channel:
    return google.auth.transport.grpc.secure_authorized_channel(
        credentials(world),
        transport(world),
        world.grpc_address,
        ssl_credentials=grpc.ssl_channel_credentials(world.ca.read_bytes()),
        options=[
            ("grpc.ssl_target_name_override", "bigquerystorage.googleapis.com"),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        ],
    )
