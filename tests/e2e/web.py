"""A web server for cases that make HTTP requests (stdlib only)."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

from harness import HOST


class Web(BaseHTTPRequestHandler):
    """What the HTTP cases talk to."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer by path."""
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size).decode("latin-1")
        path = self.path.partition("?")[0]
        status, kind, out = 200, "application/json", b""
        if path == "/bytes":
            kind, out = "application/octet-stream", bytes(range(256))
        elif path == "/latin":
            kind, out = "text/plain; charset=iso-8859-1", "grüß".encode("latin-1")
        elif path == "/fail":
            status, out = 418, b'{"why":"no"}'
        elif path.startswith("/hop"):
            port = self.server.server_address[1]
            host = "localhost" if path == "/hop-out" else HOST
            self.send_response(302)
            self.send_header("location", f"http://{host}:{port}/echo")
            self.end_headers()
            return
        else:
            headers = {key.lower(): value for key, value in self.headers.items()}
            out = json.dumps({"path": self.path, "method": self.command, "body": body, "headers": headers}).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    do_POST = do_PUT = do_GET
