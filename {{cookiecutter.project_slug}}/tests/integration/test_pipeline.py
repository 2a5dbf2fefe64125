"""The pipeline's own steps on real parts: the service's commands, a web process, HTTP, kubectl."""

import asyncio
import base64
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from {{ cookiecutter.package_name }}.entrypoints.cli import cli

from ..processes import Process
from ..unit.test_pipeline import GITHUB, RUN, candidate, project, token
from tools import load
from tools.keys import KEY
from tools.pipeline import access, facts, notify
from tools.pipeline.deploy import UNDECIDED, Pipeline

__all__ = ["project"]
SERVICE = "app"


class Heard(HTTPServer):
    """Answers every request with the same, and keeps what was asked."""

    def __init__(self, answer: bytes, status: int = 200) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        heard = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                heard.asked.append((self.path, self.headers.get("Authorization", ""), body))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


@pytest.fixture
def hear() -> Iterator[Callable[..., Heard]]:
    started: list[Heard] = []

    def hear(answer: object, status: int = 200) -> Heard:
        started.append(Heard(json.dumps(answer).encode(), status))
        return started[-1]

    yield hear
    for server in started:
        server.end()


class Cluster:
    """Runs the service's command where kubectl would; a rollout ends as the test says."""

    def __init__(self, *rollouts: int) -> None:
        self.rollouts = list(rollouts)

    def __call__(self, command: Sequence[str]) -> int:
        if "tools.rollout" in command:
            return self.rollouts.pop(0)
        inside = list(command[command.index("--") + 1 :])
        assert inside[0] == SERVICE
        return CliRunner().invoke(cli, inside[1:]).exit_code


def told(*command: str) -> Any:
    return json.loads(CliRunner().invoke(cli, ("release", *command, "--json")).stdout)


def pipeline(project: Path, *rollouts: int, run: str = "1") -> Pipeline:
    place = facts.place("production", project)
    return Pipeline(service=SERVICE, place=place, run=replace(RUN, id=run), call=Cluster(*rollouts))


@pytest.mark.usefixtures("settings")
@pytest.mark.factor("V")
def test_a_pipeline_leaves_in_the_ledger_what_became_of_its_releases(project: Path) -> None:
    made = candidate(project)
    assert pipeline(project, 0).deploy(made) == 0
    assert pipeline(project, 0).deploy(made) == 0, "a repeated job"
    line = told("current", "production")
    place = facts.place("production", project)
    assert (line["image"], line["commit"], line["config"]) == (
        made.image,
        made.commit,
        place.config,
    )
    assert line["committed_at"] is not None
    bad = replace(made, version="1.4.3", image=made.image.replace("abc1234", "def5678"))
    assert pipeline(project, 1, 0, run="2").deploy(bad) == 1
    statuses = [(line["version"], line["status"]) for line in told("list")]
    assert statuses == [("1.4.2", "succeeded"), ("1.4.3", "rolled_back"), ("1.4.2", "succeeded")]
    again = pipeline(project, 0, run="2")
    assert replace(again, run=replace(again.run, attempt="2")).deploy(bad) == 0, "it is tried again"
    assert told("current", "production")["version"] == "1.4.3"
    assert told("metrics")["change_failure_rate"] == 0.333
    assert told("metrics")["unrestored"] == 0


@pytest.mark.usefixtures("settings")
def test_the_agent_hears_of_staging_before_it_is_asked(project: Path) -> None:
    staging = facts.place("staging", project)
    for _ in range(2):
        asked = pipeline(project).decide(candidate(project), after=staging, seconds=0)
        assert asked == UNDECIDED
    assert [(line["environment"], line["status"]) for line in told("list")] == [
        ("staging", "succeeded")
    ]
    sessions = CliRunner().invoke(cli, ("sessions", "list", "--json")).stdout
    (session,) = json.loads(sessions)
    assert session["title"] == "may 1.4.2 go to production?"


def test_a_service_under_load_is_measured_and_one_that_is_away_is_red(
    start: Callable[..., Process],
) -> None:
    web = start("serve", KEY_REQUESTS="0").healthy()
    for key in ("", KEY):
        tally = asyncio.run(load.load(web.url, key=key, clients=4, seconds=1))
        assert set(tally.answers) <= {"200", "201"}
        assert not [fault for fault in tally.faults(p95=5) if "fewer" not in fault]
    web.end()
    tally = asyncio.run(load.load(web.url, key="", clients=1, seconds=0.2))
    assert "100.00% of the requests failed" in " ".join(tally.faults(p95=5))


def test_github_gives_the_token_that_opens_the_cluster(hear: Callable[..., Heard]) -> None:
    made = token(exp=1_800_000_000)
    github = hear({"value": made})
    asked = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}/?a=b"}
    asked |= {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "own"}
    assert access.credential(asked)["status"]["token"] == made
    assert github.asked == [("/?a=b&audience=kubernetes", "Bearer own", b"")]


@pytest.mark.skipif(
    not (shutil.which("kubectl") and shutil.which("openssl")), reason="kubectl or openssl is away"
)
def test_kubectl_finds_no_secret_written_down_and_sends_the_token_of_the_run(
    project: Path, hear: Callable[..., Heard]
) -> None:
    cluster, made = hear({"versions": ["v1"]}), token(exp=4_000_000_000)
    certificate, key = project / "ca.crt", project / "ca.key"
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    request = ("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "1", *name)
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run([*request, *files], check=True, capture_output=True)
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(certificate, key)
    cluster.socket = terms.wrap_socket(cluster.socket, server_side=True)
    authority = base64.b64encode(certificate.read_bytes()).decode()
    file = project / "kubeconfig"
    server = cluster.url.replace("http", "https")
    file.write_text(json.dumps(access.kubeconfig("staging", server, authority, Path.cwd())))
    assert made not in file.read_text()
    command = ["kubectl", "--kubeconfig", str(file), "--context", "staging", "get", "--raw", "/api"]
    told = subprocess.run(
        command, env=os.environ | {"KUBE_TOKEN": made}, check=True, capture_output=True, timeout=60
    )
    assert json.loads(told.stdout) == {"versions": ["v1"]}
    assert {bearer for _, bearer, _ in cluster.asked} == {f"Bearer {made}"}


def test_a_chat_is_told_and_one_that_is_away_stops_nothing(
    hear: Callable[..., Heard], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notify, "urlsplit", lambda _: type("Url", (), {"scheme": "https"}))
    chat = hear({})
    text = notify.sentence("app", "v1.4.2", "success", facts.run_of(GITHUB))
    notify.send(f"{chat.url}/hook", text)
    assert json.loads(chat.asked[0][2]) == {"text": text}
    notify.send(hear({}, 500).url, text)
    assert "does not take it" in capsys.readouterr().err
