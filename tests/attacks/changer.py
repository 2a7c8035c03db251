"""A script for mitmdump that changes a request after the stages have understood it."""

from mitmproxy import http


def request(flow: http.HTTPFlow) -> None:
    if "changed" in flow.request.headers.get("user-agent", ""):
        flow.request.content = (flow.request.raw_content or b"").replace(b"'sealed", b"'broken")
