"""The command in a process of its own, with the real overlays and what only real parts can show."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ..kubectl import CONTEXT, VERSION, Cluster
from ..overlay import NAME, Desk, project
from ..processes import Process
from tools.environments import PROJECT
from tools.rollout.environment import STRATEGIES
from tools.rollout.kubectl import render, run
from tools.rollout.steps import PROBE

OVERLAYS = PROJECT / "deploy" / "kubernetes" / "overlays"
STAND_IN = PROJECT / "tests" / "kubectl.py"
COMMAND = """import sys; from pathlib import Path; from tools.rollout.__main__ import main
sys.exit(main(sys.argv[2:], Path(sys.argv[1]), sleep=lambda _: None))"""
Start = Callable[..., Process]


@pytest.fixture
def kubectl() -> str:
    """The real one; without it a laptop skips, and CI fails."""
    if found := shutil.which("kubectl"):
        return found
    lack = "there is no kubectl on this machine"
    if os.environ.get("CI") == "true":
        pytest.fail(lack)
    pytest.skip(lack)


class Machine:
    """One where the stand-in is kubectl, and its cluster a file."""

    def __init__(self, folder: Path) -> None:
        self._project = project(folder)
        program = folder / "bin" / "kubectl"
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
        program.chmod(0o755)
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        self._own = os.environ | {"PATH": path, "CLUSTER": str(folder / "cluster.json")}

    def rollout(self, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = line.replace("IMAGE:", f"{NAME}:").split()
        return self.run(sys.executable, "-c", COMMAND, str(self._project), *given, **environment)

    def run(
        self, *command: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=PROJECT,
            env=self._own | environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path, kubectl: str) -> Machine:
    assert kubectl
    return Machine(tmp_path)


def test_a_release_killed_for_good_is_ended_by_the_same_command(machine: Machine) -> None:
    line = "release staging IMAGE:a1 --strategy blue-green"
    assert machine.rollout(line, KILL_AFTER="5").returncode == -signal.SIGKILL
    assert "unfinished a1" in machine.rollout("diagnose staging").stdout
    again = machine.rollout(line)
    assert (again.returncode, again.stderr) == (0, "")
    page = machine.rollout("diagnose staging").stdout
    assert "release    a1\n" in page
    assert "unfinished" not in page


@pytest.mark.parametrize("strategy", ["blue-green", "canary"])
def test_the_script_of_a_plan_does_by_hand_what_the_plan_does(
    strategy: str, machine: Machine
) -> None:
    script = machine.rollout(
        f"release staging IMAGE:0891234 --strategy {strategy} --keep 0 --script"
    ).stdout
    assert script.startswith("#!/bin/sh\n")
    piece_by_piece = f"{'#' * 8000}\n{script}"  # more than a shell reads from a pipe at once
    done = machine.run("/bin/sh", stdin=piece_by_piece)
    assert done.returncode == 0, done.stderr
    assert "release    0891234\n" in machine.rollout("diagnose staging").stdout


def test_a_release_that_looks_like_a_number_is_a_text_to_kubectl(
    tmp_path: Path, kubectl: str
) -> None:
    """In YAML, Python puts no quotes around the first two, and Go reads numbers."""
    desk = Desk(tmp_path)
    for release in ("0891234", "1234e56", "true"):
        desk.rollout(f"release staging IMAGE:{release}")
    given = [stdin for stdin in desk.given if stdin.startswith("---")]
    assert len(given) >= 15
    for stdin in given:
        read = [kubectl, "annotate", "--local", "--filename=-", "a=b", "--output=name"]
        done = subprocess.run(read, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not OVERLAYS.exists(), reason="no overlay is here")
@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_each_environment_is_released_from_its_real_overlay_by_every_strategy(
    environment: str, tmp_path: Path, kubectl: str
) -> None:
    assert kubectl
    told = yaml.safe_load((PROJECT / f"deploy/environments/{environment}.yaml").read_text())
    desk = Desk(tmp_path, **told | {"context": CONTEXT})
    whole = render(with_components(environment, tmp_path, "canary", "lane"), run)
    for number, strategy in enumerate(STRATEGIES):
        desk.cluster, desk.overlay = Cluster(), whole
        image = f"{told['image']}:a{number}"
        assert desk.rollout(f"release staging {image} --strategy {strategy} --keep 0") == 0
        assert desk.rollout(f"lane add staging beta {image}") == 0
        deployments = desk.cluster.of_kind("deployment")
        names = {deployment["metadata"]["name"] for deployment in deployments}
        assert names > {"worker", "scheduler", "web-beta", "worker-beta"}
        for deployment in deployments:
            pods = deployment["spec"]["template"]
            (container,) = pods["spec"]["containers"]
            assert container["image"] == image
            assert pods["metadata"]["labels"][VERSION] == f"a{number}"
            said = {one["name"]: one["valueFrom"]["fieldRef"] for one in container["env"]}
            assert VERSION in said["RELEASE"]["fieldPath"]
            assert "lane" in said["LANE"]["fieldPath"]
        assert desk.serves == {f"a{number}"}


def with_components(environment: str, folder: Path, *names: str) -> Path:
    """The overlay, as if the cluster had what these components need."""

    def here(*parts: str) -> str:
        return os.path.relpath(PROJECT.joinpath("deploy", "kubernetes", *parts), overlay.resolve())

    overlay = folder / "overlay"
    overlay.mkdir()
    components = [here("components", name) for name in names]
    made = {"resources": [here("overlays", environment)], "components": components}
    (overlay / "kustomization.yaml").write_text(json.dumps(made))
    return overlay


def test_the_smoke_test_tells_a_good_web_from_one_that_is_not(start: Start) -> None:
    web = start("serve", ALLOWED_HOSTS="app.example.com").healthy(path="/ready")
    assert smoke(web, "app.example.com") == ""
    assert "stranger at /chat/sessions got [200, 200, 4" in smoke(web, "elsewhere.example.com")
    away = start("serve", DATABASE_URL="postgresql://app@127.0.0.1:1/app").healthy()
    assert "got [200, 503, " in smoke(away, "localhost")


def smoke(web: Process, host: str) -> str:
    done = subprocess.run(
        [sys.executable, "-", host],
        env={"PORT": str(web.port)},
        input=PROBE.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == bool(done.stderr)
    return done.stderr
