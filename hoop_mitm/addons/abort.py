"""Ends connections at once, where a message under way must not look as if it had come to its end."""

from mitmproxy import connection, ctx


def abort(client: connection.Client, *others: connection.Connection) -> None:
    """Cuts a client's connection, and others that serve it, without the end of any message."""
    handler = ctx.master.addons.get("proxyserver").connections.get(client.id)
    if handler is None:
        return
    for cut in (*others, client):
        if (transport := handler.transports.get(cut)) and transport.writer:
            transport.writer.transport.abort()
