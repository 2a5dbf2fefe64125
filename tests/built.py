"""The default product with its image, built once for all tests that run containers."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

from . import stand_ins
from .conftest import ROOT, Baked
from .engine import Engine, lacking

RELEASE = "4f2a9c1"
IMAGE = f"localhost/release-agent:{RELEASE}"
SCOPES = ("--scopes", "chat,approve,admin", "--json")


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Where it is missing a laptop skips, and CI fails."""
    if why := lacking():
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return Engine()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Baked:
    """The default answers, committed, with an environment."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("service")
    for path in (folder, *folder.parents):  # what is mounted is read by a user of a container
        if os.access(path, os.W_OK) and path.stat().st_uid == os.getuid():
            path.chmod(path.stat().st_mode | 0o011)
    config = home / "config.yaml"
    config.write_text(json.dumps({"replay_dir": str(home)}), encoding="utf-8")
    baked = Baked(Path(cookiecutter(str(ROOT), no_input=True, output_dir=str(folder), config_file=str(config))))
    git = ("git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "Born")):
        subprocess.run([*git, *words], cwd=baked.path, check=True)
    subprocess.run(["make", "-s", "setup", f"PYTHON={sys.executable}"], cwd=baked.path, check=True)
    return baked


@pytest.fixture(scope="session")
def image(engine: Engine, service: Baked) -> str:
    """The image as `make image` builds it, of nothing that was there before."""
    stand_ins.provide(engine, service, "compose.yaml")
    engine.run("rmi", "--force", IMAGE, check=False)
    said = engine.make(service.path, "image", "BUILDER=podman", f"RELEASE={RELEASE}")
    print(said.splitlines()[-1])
    return IMAGE


@pytest.fixture
def ports() -> dict[str, str]:
    """Free ports for whatever compose publishes."""
    with closing(socket.create_server(("127.0.0.1", 0))) as one, closing(socket.create_server(("127.0.0.1", 0))) as two:
        first, second = (str(listener.getsockname()[1]) for listener in (one, two))
    return {"PORT": first, "MAIL_PORT": second, "HTTPS_PORT": first, "HTTP_PORT": second}


class Caller:
    """Talks with the service over HTTP."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def ask(self, path: str, body: object = None, **headers: str) -> Any:
        """The answer to a GET; with a body, to a POST."""
        data = None if body is None else json.dumps(body).encode()
        own = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(self.url + path, data, own | headers)
        with urllib.request.urlopen(request, timeout=40) as answer:
            return json.load(answer)

    def speak(self, sessions: int) -> list[str]:
        """So many sessions with a message each, for which nobody waits."""
        begun = [f"/chat/sessions/{self.ask('/chat/sessions', {})['session_id']}" for _ in range(sessions)]
        for session in begun:
            self.ask(f"{session}/messages", {"text": "what runs where?"}, Prefer="respond-async")
        return begun

    def answers(self, session: str) -> list[str]:
        try:
            history = self.ask(f"{session}/history")["history"]
        except urllib.error.URLError:
            return []
        return [exchange["response"] for exchange in history if exchange["response"]]


def converse(service: Baked, url: str, key: str, **environment: str) -> str:
    """What the product's own smoke conversation says of a service that runs."""
    result = subprocess.run(
        [".venv/bin/python", "-m", "tools.smoke", url],
        cwd=service.path,
        env=os.environ | environment | {"API_KEY": key},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
