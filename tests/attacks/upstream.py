"""A 'Google' that keeps every byte that arrives: what leaves the gateway is seen here as it is."""

import socket
import ssl
import threading

import h2.config
import h2.connection


class Upstream:
    """What really arrives at 'Google': raw HTTP/1.1 over TLS, or HTTP/2 headers and trailers."""

    def __init__(self, cert, h2_only=False):
        self.raw, self.blocks, self.answer, self.h2_only = [], [], None, h2_only
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert.chain, cert.key)
        self.context.set_alpn_protocols(["h2"] if h2_only else ["http/1.1"])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            c, _ = self.listener.accept()
            threading.Thread(target=self._one, args=(c,), daemon=True).start()

    def _one(self, c):
        try:
            c = self.context.wrap_socket(c, server_side=True)
            c.settimeout(60)
            (self._h2 if self.h2_only else self._h1)(c)
        except OSError:
            pass

    def _h1(self, c):
        seen = bytearray()
        self.raw.append(seen)
        while data := c.recv(65536):
            seen += data
            if answer := (self.answer(seen) if self.answer else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"):
                c.sendall(answer)

    def _h2(self, c):
        h = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=False, validate_inbound_headers=False)
        )
        h.initiate_connection()
        c.sendall(h.data_to_send())
        while data := c.recv(65536):
            for e in h.receive_data(data):
                if hasattr(e, "headers"):
                    self.blocks.append(dict(e.headers))
                if type(e).__name__ == "StreamEnded":
                    h.send_headers(e.stream_id, [(b":status", b"200")])
                    h.send_data(e.stream_id, b"{}", end_stream=True)
            c.sendall(h.data_to_send())
