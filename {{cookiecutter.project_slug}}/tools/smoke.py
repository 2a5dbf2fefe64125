"""`make smoke`: the whole service starts, does one task over HTTP, stops; exit code 0 or why not.

It runs beside a `make up`: with a port, a secret and a database of its own, gone when it ends.
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

START_SECONDS = 60.0
ANSWER_SECONDS = 20.0
PACKAGE = about.__module__.partition(".")[0]


def main() -> int:
    began = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="smoke-") as directory:
        own = {"PORT": str(port), "DATABASE_URL": "embedded:", "BROKER_URL": "pgmq:"}
        own |= {"LOG_FORMAT": "text", "SECRET_KEY": secrets.token_urlsafe(32)}
        command = [sys.executable, "-m", PACKAGE, "up"]
        with subprocess.Popen(command, cwd=directory, env={**os.environ, **own}) as up:
            try:
                converse(f"http://127.0.0.1:{port}", up, began)
            finally:
                up.send_signal(signal.SIGTERM)
        say(f"stopped with {up.returncode}, {time.monotonic() - began:.1f} s in all")
        return up.returncode


def converse(url: str, up: subprocess.Popen[bytes], began: float) -> None:
    wait_until(lambda: is_ready(url, up), START_SECONDS, "the service is ready")
    say(f"GET  /ready   {ask(url + '/ready')['status']} after {time.monotonic() - began:.1f} s")
    check = ask(url + "/checks", method="POST")
    say(f"POST /checks  {check['status']} {check['id']}")
    path = f"{url}/checks/{check['id']}"
    wait_until(lambda: ask(path)["status"] == "answered", ANSWER_SECONDS, "a worker answers")
    answered = ask(path)
    say(f"GET  /checks  {answered['status']} by {answered['answered_by']}")
    say(f"first finished task {time.monotonic() - began:.2f} s after the start")


def is_ready(url: str, up: subprocess.Popen[bytes]) -> bool:
    if up.poll() is not None:
        sys.exit("smoke: the service ended; its lines above say why")
    try:
        return bool(ask(url + "/ready")["status"] == "ready")
    except urllib.error.URLError:
        return False


def ask(url: str, *, method: str = "GET") -> dict[str, Any]:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: dict[str, Any] = json.load(answer)
        return body


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
