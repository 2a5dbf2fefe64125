"""Factors that running processes prove: VII, VIII, XI."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from {{ cookiecutter.package_name }}.about import about

from ..processes import Process, eventually

Start = Callable[..., Process]


@pytest.mark.factor("VII")
def test_the_web_process_binds_its_port_itself_on_all_interfaces(start: Start) -> None:
    web = start("serve").healthy()
    addresses = ["127.0.0.1"]
    if sys.platform == "linux":
        addresses.append("127.0.0.2")
    if socket.has_dualstack_ipv6():
        addresses.append("[::1]")
    for address in addresses:
        url = f"http://{address}:{web.port}/health"
        assert httpx2.get(url, verify=False).status_code == 200


@pytest.mark.factor("VIII")
def test_more_load_is_more_processes_of_a_type(start: Start) -> None:
    web = start("serve").healthy()
    workers = [start("work", WORKER_CONCURRENCY="1").logged("worker started") for _ in range(2)]

    def both_have_worked() -> bool:
        for _ in range(10):
            answered(web)
        return all("\nsteps_total{" in worker.get("/metrics").text for worker in workers)

    eventually(both_have_worked, "both workers share the work")


@pytest.mark.factor("XI")
def test_a_task_goes_all_the_way_and_is_told_in_json_lines_on_stdout_alone(
    start: Start, tmp_path: Path
) -> None:
    web, worker = start("serve").healthy(), start("work").healthy()
    scheduler = start("schedule").healthy()
    assert answered(web)["status"] == "idle"
    done = 'tasks_total{outcome="done",task="sessions.advance"} 1.0'
    eventually(lambda: done in worker.get("/metrics").text, "the task is counted, once it is over")
    assert worker.get("/nothing").status_code == 404
    for process in (web, worker):
        assert httpx2.head(f"{process.url}/health", verify=False).status_code == 200
    for process in (web, worker, scheduler):
        process.end()
        assert process.lines
        assert not process.errors, process.output
        for line in map(json.loads, process.lines):
            assert line["service"] == about().slug
            assert {"time", "level", "event", "environment", "release", "process"} <= set(line)
    assert not list(tmp_path.rglob("*"))


def answered(web: Process) -> dict[str, Any]:
    """What a new session answers."""
    session = web.post("/chat/sessions").headers["location"]
    told = web.post(f"{session}/messages", {"text": "hello"})
    assert told.status_code == 200, told.text
    body: dict[str, Any] = told.json()
    assert body["response"]
    return body
