"""Unit tests reach nothing outside their process."""

import socket

import pytest


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*reached: object, **_: object) -> None:
        msg = f"a unit test reached for {reached}: give it a fake, or make it an integration test"
        raise AssertionError(msg)

    for way in ("connect", "connect_ex", "sendto", "sendmsg"):
        monkeypatch.setattr(socket.socket, way, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
