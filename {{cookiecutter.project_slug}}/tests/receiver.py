"""Another program that is told what comes of its messages: a real server on loopback."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from {{ cookiecutter.package_name }}.signatures import verify


class Receiver:
    """Keeps what is said to it, and answers with the status of the hour."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.signatures: list[tuple[str, bytes]] = []
        self.status = 200
        self.before_answer: Callable[[], object] = int
        """Called once it has heard, and before it says so."""

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "") -> str:
        return f"http://{self.place}/{path}"

    def seen(self, **wanted: str) -> dict[str, Any] | None:
        """The first notice like that."""
        return next((n for n in list(self.heard) if wanted.items() <= n.items()), None)

    def names(self, secret: str) -> set[str]:
        """What each was signed as; NotSigned where one was not, by this secret, just now."""
        return {verify(mark, body, [secret], now=time.time()) for mark, body in self.signatures}


@contextmanager
def listening() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.signatures.append((self.headers["Webhook-Signature"], body))
            receiver.ids.append(self.headers["Webhook-Id"])
            receiver.heard.append(json.loads(body) | {"path": self.path})
            receiver.before_answer()
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """It has nothing to say."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that was killed, most likely."""

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        serving = {"poll_interval": 0.01}
        thread = threading.Thread(target=server.serve_forever, kwargs=serving)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
