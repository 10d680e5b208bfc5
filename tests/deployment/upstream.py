"""Stands behind the proxies: tells what arrived. Standard library only, so that a bare Python image runs it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Telltale(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _tell(self) -> None:
        length = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        said = {
            "method": self.command,
            "path": self.path,
            "length": length,
            "headers": {key.lower(): value for key, value in self.headers.items()},
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _tell  # noqa: N815 — the library's names


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Telltale).serve_forever()
