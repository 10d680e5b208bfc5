"""
An upstream server for the proxies. It reports each request that it receives.

The server uses only the standard library, so a plain Python image can run it. On SIGTERM, it completes the answers in progress
and then stops, as the services do.
"""

import contextlib
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

stopping = threading.Event()
asked = threading.Event()


class Telltale(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 1  # seconds until the server closes an idle connection

    def _tell(self) -> None:
        said = {
            "method": self.command,
            "path": self.path,
            "length": self._read_body(),
            "headers": {key.lower(): value for key, value in self.headers.items()},
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if stopping.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _read_body(self) -> int:
        """Read the whole body and return its size. The body has a declared length or is chunked."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        length = 0
        while size := int(self.rfile.readline(), 16):
            length += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return length

    def _stream(self) -> None:
        """Send one event immediately, and a second event after a request for /api/say."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        asked.wait(timeout=150)
        self.wfile.write(b"data: second\n\n")

    def _send_away(self) -> None:
        """Answer 503 with Retry-After, as a service does while its database is down."""
        self.send_response(503)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        if self.path == "/api/events":
            self._stream()
            return
        if self.path == "/api/away":
            self._send_away()
            return
        if self.path == "/api/say":
            asked.set()
        self._tell()

    do_POST = do_PUT = _tell  # noqa: N815 — `http.server` requires these names


class Server(ThreadingHTTPServer):
    daemon_threads = False  # makes `server_close` wait for the answers in progress
    request_queue_size = 128

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until `shutdown` is called. Then serve the connections that the kernel has already queued, and return."""
        super().serve_forever(poll_interval)
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.process_request(*self.get_request())


if __name__ == "__main__":
    server = Server(("", 8080), Telltale)

    def stop(_signal: int, _frame: object) -> None:
        stopping.set()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever()
    server.server_close()
