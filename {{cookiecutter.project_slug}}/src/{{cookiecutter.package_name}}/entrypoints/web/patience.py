"""HTTP/1.1 as it comes over the wire: parsed in C, which takes half the time, and not waited for
longer than is decent. uvicorn waits for ever for the head of a request, whatever its size, and for
the rest of a body once it has answered.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .guard import HEAD_BYTES

HEAD_SECONDS = 10.0


class Patient(HttpToolsProtocol):
    """While nothing is asked of the service there is an end, set once and not put off by a byte."""

    _until: asyncio.TimerHandle | None = None
    _is_in_head = True
    _size = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._size = self._size + len(data) if self._is_in_head else 0
        if self._size > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("the head of a request ends sooner")
        self._wait()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """One that has ended, and is too large all the same, is the guard's to refuse."""
        self._is_in_head = False
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _wait(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._until is None and not self.transport.is_closing():
            self._until = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
