"""Good clients: what failed, or came to nothing yet, they say again with the same key."""

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from ..keys import AUTH
from .plan import Visit

DONE = "All is done."
RETRY_SECONDS = (0.1, 0.5)
ANSWER_SECONDS = 40


@dataclass
class Talk:
    """A session as its client knows it."""

    session_id: str
    answer: str | None = None


class Refused(Exception):
    """An answer that no good client should get."""


class Clients:
    """In a thread of their own, so that whoever kills is held up by nobody."""

    def __init__(
        self, visits: Sequence[Visit], *, steps: int, urls: Callable[[], Sequence[str]]
    ) -> None:
        self.talks: list[Talk] = []
        self.refused: list[str] = []
        self.retries = 0
        self._have_left = False
        self._visits, self._steps, self._urls = visits, steps, urls
        self._thread = threading.Thread(target=lambda: asyncio.run(self._come()), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether all have got their answers within this time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def leave(self) -> None:
        """They ask no more."""
        self._have_left = True
        self._thread.join()

    async def _come(self) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        async with httpx2.AsyncClient(
            headers=AUTH, timeout=ANSWER_SECONDS, limits=limits, verify=False, trust_env=False
        ) as client:
            await asyncio.gather(*(self._visit(client, visit) for visit in self._visits))

    async def _visit(self, client: httpx2.AsyncClient, visit: Visit) -> None:
        await asyncio.sleep(visit.at)
        say = {"text": f"{self._steps} steps of 0 bytes, {visit.ms} ms each"}
        headers = {"Idempotency-Key": str(uuid4()), "Prefer": "wait=20"}
        try:
            started = await self._insist(client, "/chat/sessions")
            self.talks.append(talk := Talk(started["session_id"]))
            path = f"/chat/sessions/{talk.session_id}/messages"
            told = {"status": "ready"}
            while told["status"] == "ready":
                told = await self._insist(client, path, json=say, headers=headers)
            talk.answer = told["response"]
        except Refused as error:
            self.refused.append(str(error))

    async def _insist(self, client: httpx2.AsyncClient, path: str, **request: Any) -> Any:
        """The answer to a POST, however often it has to be sent, to whichever web process."""
        while not self._have_left:
            try:
                answer = await client.post(random.choice(self._urls()) + path, **request)
                if answer.is_success:
                    return answer.json()
                if not answer.is_server_error:
                    raise Refused(f"POST {path}: {answer.status_code} {answer.text}")
            except (httpx2.TransportError, ValueError):
                """Nothing came, or half of it: as if it had not been sent, as far as one knows."""
            self.retries += 1
            await asyncio.sleep(random.uniform(*RETRY_SECONDS))
        raise Refused(f"POST {path}: left without an answer")
