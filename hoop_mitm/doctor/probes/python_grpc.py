"""Python's gRPC, as BigQuery's Storage API uses it: a greeting with its own roots, through its own proxy setting.

Prints one word: absent, direct, trusted, untrusted. No call is made.
"""

import os


def look() -> str:
    try:
        import grpc
    except ImportError:
        return "absent"
    if not os.environ.get("grpc_proxy") and not os.environ.get("https_proxy"):
        return "direct"
    target = "bigquerystorage.googleapis.com:443"
    with grpc.secure_channel(target, grpc.ssl_channel_credentials()) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=8)
        except grpc.FutureTimeoutError:
            return "untrusted"
    return "trusted"


print(look())
