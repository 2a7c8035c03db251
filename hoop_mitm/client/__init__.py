"""What a client needs to reach BigQuery through the gateway: variables, roots, and a credentials file without a secret.

Knows Google's client libraries and what each of them reads, and how to find the gateway, or start it; knows nothing of
its inside.
"""

from hoop_mitm.client.bundle import combined_bundle
from hoop_mitm.client.credentials_file import write_credentials
from hoop_mitm.client.endpoint import endpoint_environment
from hoop_mitm.client.environment import BYPASSES, child_environment, client_environment

__all__ = [
    "BYPASSES",
    "child_environment",
    "client_environment",
    "combined_bundle",
    "endpoint_environment",
    "write_credentials",
]
