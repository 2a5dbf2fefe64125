"""`make smoke`: the whole service starts, talks over HTTP, stops; exit code 0 or why not.

It runs beside a `make up`: with a port, a secret and a database of its own, gone when it ends.
`python -m tools.smoke URL` talks with what runs there already; API_KEY is a key for it.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing
from typing import Any

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.adapters.keys import new_key
from {{ cookiecutter.package_name }}.adapters.scripted import scripts

EXAMPLE = "release"
KEY = os.environ.get("API_KEY", "") if sys.argv[1:] else new_key()
START_SECONDS = 60.0
ANSWER_SECONDS = 20.0
PACKAGE = about.__module__.partition(".")[0]


def main() -> int:
    began = time.monotonic()
    if not (known := scripts()):
        sys.exit("smoke: no agent has a script to talk with: write one with `agents new NAME`")
    agent = EXAMPLE if EXAMPLE in known else known[0]
    if sys.argv[1:]:
        converse(sys.argv[1].rstrip("/"), None, began, agent)
        return 0
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="smoke-") as directory:
        own = {"PORT": str(port), "DATABASE_URL": "embedded:", "BROKER_URL": "pgmq:"}
        own |= {"LOG_FORMAT": "text", "SECRET_KEY": secrets.token_urlsafe(32)}
        own |= {
            "API_KEY": KEY,
            "DEFAULT_AGENT": agent,
            "MODEL": f"scripted:{agent}",
            "MODEL_FALLBACKS": "",
        }
        command = [sys.executable, "-m", PACKAGE, "up"]
        with subprocess.Popen(command, cwd=directory, env={**os.environ, **own}) as up:
            try:
                converse(f"http://127.0.0.1:{port}", up, began, agent)
            finally:
                up.send_signal(signal.SIGTERM)
        say(f"stopped with {up.returncode}, {time.monotonic() - began:.1f} s in all")
        return up.returncode


def converse(url: str, up: subprocess.Popen[bytes] | None, began: float, agent: str) -> None:
    """With an approval where the agent is the example; another is only greeted."""
    wait_until(lambda: is_ready(url, up), START_SECONDS, "the service is ready")
    say(f"GET  /ready   {ask(url + '/ready')['status']} after {time.monotonic() - began:.1f} s")
    session = url + "/chat/sessions/" + ask(url + "/chat/sessions", {})["session_id"]
    first = "what runs where?" if agent == EXAMPLE else "hello"
    told = ask(session + "/messages", {"text": first})
    say(f"POST messages   {first} -> {told['response']}")
    say(f"first finished task {time.monotonic() - began:.2f} s after the start")
    if agent != EXAMPLE:
        return
    told = ask(session + "/messages", {"text": "deploy 1.4.2 to production"})
    pending = told["pending"][0]
    say(f"POST messages   deploy 1.4.2 to production -> {told['status']}: {pending['tool']}")
    approval = f"{session}/approvals/{pending['request_id']}"
    say(f"POST approvals  approved -> {ask(approval, {'approved': True})['status']}")
    wait_until(lambda: ask(session)["status"] != "ready", ANSWER_SECONDS, "the agent goes on")
    history = ask(session + "/history")["history"]
    say(f"GET  history    {len(history)} exchanges, the last: {history[-1]['response']}")


def is_ready(url: str, up: subprocess.Popen[bytes] | None) -> bool:
    if up and up.poll() is not None:
        sys.exit("smoke: the service ended; its lines above say why")
    try:
        return bool(ask(url + "/ready")["status"] == "ready")
    except urllib.error.URLError:
        return False


def ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer to a GET; with a body, to a POST."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=40) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def wait_until(condition: Any, seconds: float, claim: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"smoke: not within {seconds:g} s: {claim}")
        time.sleep(0.05)


def say(line: str) -> None:
    print(f"smoke     | {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
