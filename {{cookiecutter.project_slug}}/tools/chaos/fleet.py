"""The processes of a deploy, as an orchestrator keeps them: what dies is started again at once."""

import re
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..stack import Service
from .plan import slots

GRAVE = re.compile('"(ERROR|CRITICAL)"')
LENGTH = 300
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
        self._environment = environment
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

    def _note(self, slot: str, code: int) -> None:
        lines = self._slots[slot].output.splitlines()
        worst = [line for line in lines if GRAVE.search(line)] or lines
        self.unasked.append(f"{slot} ended with {code}: {''.join(worst[-1:])[:LENGTH]}")

    def _start(self, slot: str) -> None:
        self._slots[slot] = Service(COMMANDS[_kind(slot)], **self._environment)


def name_of(service: Service) -> str:
    return f"{socket.gethostname()}:{service.pid}"


def _kind(slot: str) -> str:
    return slot.partition("-")[0]
