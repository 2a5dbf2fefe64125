"""The port of a process that is no web server, in the hands of others."""

import socket
import threading

import pytest

from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.telemetry import probes
from {{ cookiecutter.package_name }}.telemetry.metrics import Metrics

from ..processes import eventually
from tools.stack import free_port


def test_a_client_that_says_nothing_keeps_no_thread(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "CLIENT_SECONDS", 0.2)
    port = free_port()
    probes.serve_probes(port, metrics=Metrics(settings, "test"), health=dict, ready=bool)
    before = threading.active_count()
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    eventually(lambda: threading.active_count() > before, "they are waited for")
    clients[0].sendall(b"GET /health HTTP/1.0\r\nX-Half")
    eventually(lambda: threading.active_count() <= before, "nobody is waited for", seconds=10)
    assert [client.recv(1) for client in clients] == [b""] * 20
    for client in clients:
        client.close()
