"""Options of mitmproxy that would undo a promise, each with a value that does."""

DANGEROUS = [
    ("ssl_insecure", "true"),
    ("ignore_hosts", "bigquery"),
    ("allow_hosts", "example"),
    ("tcp_hosts", "bigquery"),
    ("mode", "socks5"),
    ("mode", "reverse:https://bigquery.googleapis.com"),
    ("mode", "endpoint@127.0.0.1:1"),
    ("stream_large_bodies", "1k"),
    ("store_streamed_bodies", "true"),
    ("map_remote", "|bigquery.googleapis.com|example.com"),
    ("map_local", "|bigquery.googleapis.com|."),
    ("modify_headers", "/~q/Authorization/Bearer x"),
    ("modify_body", "/~q/a/b"),
    ("save_stream_file", "/nonexistent/flows.mitm"),
    ("hardump", "/nonexistent/flows.har"),
    ("client_replay", "/nonexistent/flows.mitm"),
    ("server_replay", "/nonexistent/flows.mitm"),
    ("validate_inbound_headers", "false"),
    ("rawtcp", "true"),
    ("connection_strategy", "eager"),
    ("flow_detail", "4"),
    ("proxy_debug", "true"),
    ("termlog_verbosity", "debug"),
    ("keep_host_header", "true"),
    ("proxyauth", "any"),
    ("stickyauth", "."),
    ("block_list", "/~all/200"),
    ("onboarding", "true"),
    ("rfile", "/nonexistent/flows.mitm"),
]

# Options whose default is what mitmproxy sets, but not what we need: set to that, they must not stay so.
FORCED = ("rawtcp", "connection_strategy", "onboarding")
