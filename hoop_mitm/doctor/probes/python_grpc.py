"""Python's gRPC, as BigQuery's Storage API uses it: a greeting with its own roots, through its own proxy setting.

Prints one word: absent, direct, trusted, untrusted, failed. No call is made.
"""

import os
import queue


def look() -> str:
    try:
        import grpc
    except ImportError:
        return "absent"
    if not os.environ.get("grpc_proxy") and not os.environ.get("https_proxy"):
        return "direct"
    target = "bigquerystorage.googleapis.com:443"
    words = {grpc.ChannelConnectivity.READY: "trusted", grpc.ChannelConnectivity.TRANSIENT_FAILURE: "untrusted"}
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    with grpc.secure_channel(target, grpc.ssl_channel_credentials()) as channel:
        channel.subscribe(lambda state: heard.put(words[state]) if state in words else None, try_to_connect=True)
        try:
            # That the gateway is there was seen before: what fails is the greeting. One that is slow has not failed.
            return heard.get(timeout=30)
        except queue.Empty:
            return "failed timeout"


print(look())
