"""The compose files, obeyed by the real compose tool, with stand-ins for the images of others."""

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from . import stand_ins
from .built import RELEASE, SCOPES, Caller, converse
from .conftest import Baked
from .engine import Engine, eventually
from .test_compose_files import DEVELOPMENT, FORM, PROCESSES, PRODUCTION, Project

HOST = "release-agent.example.com"


@pytest.fixture
def caddy(engine: Engine) -> Path:
    return stand_ins.unpacked(engine.folder, "caddy") / "usr/bin/caddy"


@pytest.mark.parametrize(
    ("right", "wrong"), [("dynamic a", "dynamic b"), ("error @inside", "error @outside"), ("\t\t", "\t")]
)
def test_caddy_takes_its_file_and_sees_a_defect(
    service: Baked, caddy: Path, tmp_path: Path, right: str, wrong: str
) -> None:
    text = service.text("deploy/proxy/Caddyfile")

    def accepts(text: str) -> bool:
        (tmp_path / "Caddyfile").write_text(text, encoding="utf-8")
        named = ("--config", "Caddyfile", "--adapter", "caddyfile")
        environment = os.environ | {"DOMAIN": HOST}
        commands = ([str(caddy), "validate", *named], [str(caddy), "fmt", "--diff", "Caddyfile"])
        results = [subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True) for command in commands]
        return not any(result.returncode for result in results)

    assert accepts(text)
    assert right in text
    assert not accepts(text.replace(right, wrong))


@pytest.fixture
def stack(engine: Engine, service: Baked, image: str, ports: dict[str, str], tmp_path: Path) -> Iterator[Project]:
    """The project, with podman where Docker would be."""
    tool = stand_ins.compose(engine.folder)
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\n[ "$1" != compose ] || {{ shift; exec {tool} "$@"; }}\nexec podman "$@"\n', encoding="utf-8"
    )
    docker.chmod(0o755)
    with engine.socket() as environment:
        own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "IMAGE": image}
        yield Project(service.path, tool, environment | FORM | ports | own)


@contextmanager
def up(stack: Project, files: tuple[str, ...], *words: str) -> Iterator[Any]:
    """Everything of these files, healthy; gone afterwards, with its data."""
    try:
        yield stack.compose(files, "up", "--detach", "--wait", "--wait-timeout", "180", *words)
    finally:
        said = stack.compose(files, "logs", "--tail=30", check=False).stdout
        stack.compose(files, "--profile", "*", "down", "--volumes", "--timeout=2")
        print(said[-6000:])


def new_key(stack: Project, files: tuple[str, ...]) -> str:
    told = stack.compose(files, "exec", "-T", "web", "release-agent", "keys", "create", "smoke", *SCOPES).stdout
    return str(json.loads(told)["key"])


def test_development_comes_up_talks_and_loses_nothing_with_its_worker(
    engine: Engine, service: Baked, stack: Project
) -> None:
    stand_ins.provide(engine, service, *DEVELOPMENT)
    url = f"http://127.0.0.1:{stack.environment['PORT']}"
    with up(stack, DEVELOPMENT):
        key = new_key(stack, DEVELOPMENT)
        assert "deploy 1.4.2" in converse(service, url, key)
        caller = Caller(url, key)
        sessions = caller.speak(12)
        stack.compose(DEVELOPMENT, "kill", "--signal=KILL", "worker")
        sessions += caller.speak(6)
        stack.compose(DEVELOPMENT, "up", "--detach", "--no-deps", "worker")
        eventually(lambda: all(caller.answers(session) for session in sessions), "every session is answered")
        assert {len(caller.answers(session)) for session in sessions} == {1}
    left = ("ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=release-agent")
    assert engine.told(*left) == "", "it goes away whole"


@pytest.mark.long
def test_what_is_saved_runs_at_once(engine: Engine, service: Baked, stack: Project) -> None:
    stand_ins.provide(engine, service, *DEVELOPMENT)
    source = service.path / "src" / service.package / "about.json"
    text = source.read_text(encoding="utf-8")
    url = f"http://127.0.0.1:{stack.environment['PORT']}/openapi.json"
    watch = [str(stack.tool), "watch", "--no-up"]

    def is_seen() -> bool:
        try:
            return "saved just now" in fetched(url)
        except OSError:  # it starts again
            return False

    with up(stack, DEVELOPMENT):
        assert not is_seen()
        with subprocess.Popen(watch, cwd=stack.folder, env=stack.environment, stdout=subprocess.PIPE) as watching:
            try:
                assert watching.stdout
                assert b"Watch enabled" in watching.stdout.readline()
                source.write_text(text.replace('"description": "', '"description": "saved just now '), encoding="utf-8")
                eventually(is_seen, "the new source answers")
            finally:
                source.write_text(text, encoding="utf-8")
                watching.terminate()


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.long
@pytest.mark.parametrize(
    ("broker", "url"), [("redis", "redis://redis:6379/0"), ("rabbitmq", "amqp://app:app@rabbitmq:5672//")]
)
def test_another_broker_is_a_profile_and_an_address(
    engine: Engine, service: Baked, stack: Project, broker: str, url: str
) -> None:
    stand_ins.provide(engine, service, *DEVELOPMENT, profiles=[broker])
    stack.environment |= {"COMPOSE_PROFILES": broker, "BROKER_URL": url}
    with up(stack, DEVELOPMENT):
        converse(service, f"http://127.0.0.1:{stack.environment['PORT']}", new_key(stack, DEVELOPMENT))


def status(url: str, authority: Path) -> int:
    """What the proxy answers, by a certificate of this authority."""
    trusting = ssl.create_default_context(cafile=authority)
    try:
        with urllib.request.urlopen(url, timeout=30, context=trusting) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def production(engine: Engine, service: Baked, stack: Project) -> Iterator[Project]:
    """With secrets, for a host that leads here."""
    stand_ins.provide(engine, service, *PRODUCTION)
    files = [*service.path.glob("deploy/environments/production.env"), service.path / PRODUCTION[0]]
    before = {file: file.read_text(encoding="utf-8") for file in files}
    for file, text in before.items():
        assert HOST in text
        file.write_text(text.replace(HOST, "localhost"), encoding="utf-8")
    tool(stack, "secrets", "production")
    try:
        yield stack
    finally:
        for file, text in before.items():
            file.write_text(text, encoding="utf-8")
        for file in (service.path / "secrets" / "production").iterdir():
            file.unlink()
        (service.path / "secrets" / "production").rmdir()


def tool(stack: Project, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = ["python3", "-m", "tools.compose", *words]
    result = subprocess.run(command, cwd=stack.folder, env=stack.environment, capture_output=True, text=True)
    assert result.returncode == 0 or not check, result.stdout[-3000:] + result.stderr[-3000:]
    return result


@contextmanager
def asking(ask: Callable[[], int]) -> Iterator[Counter[str]]:
    """What is answered while something else goes on, to one who asks without a break."""
    found, stop = Counter[str](), Event()

    def insist() -> None:
        while not stop.is_set():
            try:
                found[str(ask())] += 1
            except OSError as error:
                found[str(error)] += 1

    with ThreadPoolExecutor(1) as pool:
        insisting = pool.submit(insist)
        try:
            yield found
        finally:
            stop.set()
            insisting.result()


def variant(engine: Engine, image: str, folder: Path, release: str, *lines: str) -> dict[str, str]:
    """What names another release, made of this one."""
    text = "\n".join((f"FROM {image}", f"ENV RELEASE={release}", *lines))
    (folder / "Containerfile").write_text(text, encoding="utf-8")
    name = image.replace(RELEASE, release)
    engine.build(folder, name, "--no-cache")
    return {"IMAGE": name, "RELEASE": release}


WAY_OUT = "raise SystemExit('00000000' not in [line.split()[1] for line in open('/proc/net/route')])"
HIDDEN = ("/metrics", "/METRICS", "//metrics", "/metrics/", "/%6detrics", "/ready?full=1", "/%72eady?full", "/ready?x")
BROKEN = """ENTRYPOINT ["python", "-c", "import os, sys; sys.argv[1] == 'migrate' or sys.exit('it is broken'); \
os.execvp('release-agent', ['release-agent', 'migrate'])"]"""


@pytest.mark.long
def test_production_lets_in_by_the_proxy_alone_and_a_release_takes_the_place_of_another_unseen(
    engine: Engine, service: Baked, production: Project, image: str, tmp_path: Path
) -> None:
    url = f"https://localhost:{production.environment['HTTPS_PORT']}"
    authority = tmp_path / "root.crt"
    try:
        tool(production, "release", "production")
        made = "proxy:/data/caddy/pki/authorities/local/root.crt"
        production.compose(PRODUCTION, "cp", made, str(authority))
        assert [status(url + path, authority) for path in ("/health", "/ready")] == [200, 200]
        assert {path: status(url + path, authority) for path in HIDDEN} == dict.fromkeys(HIDDEN, 404)
        converse(service, url, new_key(production, PRODUCTION), SSL_CERT_FILE=str(authority))
        old = running(engine)
        for container, name in old.items():
            has_a_way_out = engine.run("exec", container, "python", "-c", WAY_OUT, check=False).returncode == 0
            assert has_a_way_out == (name == "worker"), name

        with asking(lambda: status(f"{url}/health", authority)) as answers:
            production.environment |= variant(engine, image, tmp_path, "0000bad", BROKEN)
            assert tool(production, "release", "production", check=False).returncode == 1
            assert running(engine) == old
            production.environment |= variant(engine, image, tmp_path, "600dbee")
            tool(production, "release", "production")
        assert set(answers) == {"200"}, answers
        assert Counter(running(engine).values()) == Counter(old.values())
        told = ("exec", "", "python", "-c", "import os; print(os.environ['RELEASE'])")
        assert {engine.told(told[0], container, *told[2:]) for container in running(engine)} == {"600dbee"}
    finally:
        production.compose(PRODUCTION, "--profile", "*", "down", "--volumes", "--timeout=2")


def running(engine: Engine) -> dict[str, str]:
    """Container of production → its process."""
    ours = "label=com.docker.compose.project=release-agent-production"
    form = '{{.ID}} {{index .Labels "com.docker.compose.service"}}'
    pairs = (line.split() for line in engine.told("ps", "--filter", ours, "--format", form).splitlines())
    return {container: name for container, name in pairs if name in PROCESSES}
