"""The processes of a deploy, as an orchestrator keeps them: what dies is started again at once."""

import re
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..keys import KEY
from ..stack import SECRET, Service
from .plan import slots

GRAVE = re.compile('"(ERROR|CRITICAL)"')
LENGTH = 300
CANARIES = {
    "OPENAI_API_KEY": "canary-of-openai-in-the-storm",
    "ANTHROPIC_API_KEY": "canary-of-anthropic-in-the-storm",
}
COMMANDS = {"worker": "work", "web": "serve", "scheduler": "schedule"}


@dataclass(frozen=True)
class Death:
    kind: str
    name: str
    """As the process itself is registered: host:pid."""
    at: float


class Fleet:
    def __init__(self, environment: Mapping[str, str], sizes: Mapping[str, int]) -> None:
        self.deaths: list[Death] = []
        self.unasked: list[str] = []
        """Those that ended by themselves, or badly, and what they said of it."""
        self.leaks: list[str] = []
        """Secrets that somebody has said, with where."""
        self._environment = environment
        self._secrets = secrets_of(environment)
        self._slots: dict[str, Service] = {}
        for slot in slots(sizes):
            self._start(slot)
        for service in self._slots.values():
            service.ready()

    def __getitem__(self, slot: str) -> Service:
        return self._slots[slot]

    def slot_of(self, name: str) -> str:
        return next(slot for slot, service in self._slots.items() if name_of(service) == name)

    @property
    def urls(self) -> list[str]:
        """Of the web processes, whether they answer yet or not."""
        return [web.url for slot, web in self._slots.items() if slot.startswith("web")]

    def kill(self, *slots: str) -> None:
        """All of them at once; what is to live is started when all are dead."""
        for slot in slots:
            service = self._slots[slot]
            self.deaths.append(Death(_kind(slot), name_of(service), time.time()))
            service.kill()
        for slot in slots:
            self._start(slot)

    def tend(self) -> None:
        """Starts again what has ended by itself."""
        for slot, service in list(self._slots.items()):
            if not service.lives:
                self._note(slot, service.ended())
                self._start(slot)

    def stop(self) -> None:
        for service in self._slots.values():
            service.signal(signal.SIGTERM)
        for slot, service in self._slots.items():
            if code := service.ended():
                self._note(slot, code)
            self._listen(slot)

    def _note(self, slot: str, code: int) -> None:
        lines = self._slots[slot].output.splitlines()
        worst = [line for line in lines if GRAVE.search(line)] or lines
        self.unasked.append(f"{slot} ended with {code}: {''.join(worst[-1:])[:LENGTH]}")

    def _listen(self, slot: str) -> None:
        """What it has said in its life holds no secret."""
        said = self._slots[slot].output
        told = (name for name, secret in self._secrets.items() if secret in said)
        self.leaks += [f"{slot} said {name}" for name in told]

    def _start(self, slot: str) -> None:
        if slot in self._slots:
            self._listen(slot)
        self._slots[slot] = Service(COMMANDS[_kind(slot)], **self._environment)


def secrets_of(environment: Mapping[str, str]) -> dict[str, str]:
    """What no process may say: of a URL its password."""
    found = {"SECRET_KEY": SECRET, "the key of the clients": KEY, **CANARIES}
    for name in ("DATABASE_URL", "BROKER_URL"):
        if password := urlsplit(environment[name]).password:
            found[f"the password of {name}"] = password
    return found


def name_of(service: Service) -> str:
    return f"{socket.gethostname()}:{service.pid}"


def _kind(slot: str) -> str:
    return slot.partition("-")[0]
