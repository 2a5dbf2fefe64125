"""/health, /ready and /metrics for a process that is no web server.

Liveness touches nothing outside the process: a database that blinks must not restart every worker.
What is ready has reached all that it needs once: what it replaces may go.
"""

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..errors import AppError
from .metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)

CLIENT_SECONDS = 5.0
"""Each client has a thread: one that says nothing would keep it for ever."""


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hung up is no event of ours, least of all as a traceback."""


def serve_probes(
    port: int,
    *,
    metrics: Metrics,
    health: Callable[[], dict[str, str] | None],
    ready: Callable[[], bool],
) -> None:
    """Answers on the port, from a thread; `health` gives None when the process is stuck."""

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_SECONDS

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            match self.path:
                case "/health":
                    self._say(health(), otherwise="stuck")
                case "/ready":
                    self._say({"status": "ready"} if ready() else None, otherwise="not ready")
                case "/metrics":
                    self._answer(200, CONTENT_TYPE, metrics.render())
                case _:
                    self._answer(404, "text/plain", b"/health, /ready or /metrics\n")

        def _say(self, body: dict[str, str] | None, *, otherwise: str) -> None:
            told = json.dumps(body or {"status": otherwise})
            self._answer(200 if body else 503, "application/json", told.encode())

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not logged."""

    try:
        server = Server(("", port), Handler)
    except OSError as error:
        raise AppError(
            f"METRICS_PORT={port} can't be bound ({error.strerror}): choose another"
        ) from error
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
