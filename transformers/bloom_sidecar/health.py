"""``/health``, ``/ready`` and ``/metrics`` over HTTP."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


def serve(host: str, port: int, alive: Callable[[], bool], ready: Callable[[], bool]) -> ThreadingHTTPServer:
    """Serve from a background thread until ``shutdown`` is called.

    Args:
        host: address to listen on; empty for all.
        port: TCP port.
        alive: whether the process works; otherwise ``/health`` returns 503 and it should be restarted.
        ready: whether the process is applying the stream; otherwise ``/ready`` returns 503.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                self._answer(*((200, b"ok\n") if alive() else (503, b"stuck\n")), "text/plain")
            elif self.path == "/ready":
                self._answer(*((200, b"ready\n") if ready() else (503, b"not ready\n")), "text/plain")
            elif self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            else:
                self._answer(404, b"not found\n", "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log no requests: probes arrive every few seconds."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
