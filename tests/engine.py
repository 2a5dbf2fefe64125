"""podman with a store of its own, as the tests use it: nothing of this machine's containers is seen or touched.

It needs root on Linux and the packages that `.ci/run` installs. A laptop without them skips, and says so; CI fails.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .conftest import ROOT

STORE = ROOT / "build" / "containers"
PACKAGES = {
    "podman": "podman",
    "buildah": "buildah",
    "runc": "runc",
    "iptables": "iptables",
    "debootstrap": "debootstrap",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "/usr/libexec/podman/catatonit": "catatonit",
}
STORAGE = """[storage]
driver = "overlay"
graphroot = "{0}/images"
runroot = "{0}/run"
[storage.options.overlay]
skip_mount_home = "true"
"""  # a mount of its own would outlast podman, and the folder could not be removed
CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""
PATIENCE = 120.0
T = TypeVar("T")


def lacking() -> str:
    """Why no container can be run here; empty where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "containers are built and run as root on Linux"
    missing = [package for tool, package in PACKAGES.items() if not shutil.which(tool)]
    return f"no image is built here: apt-get install {' '.join(missing)}" if missing else ""


def eventually(condition: Callable[[], T | None], claim: str, *, seconds: float = PATIENCE) -> T:
    """What the condition gives once it gives something; a failure that names the claim if never."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {claim}"
        time.sleep(0.1)
    return value


class Engine:
    """podman, with images and containers in a folder of its own."""

    def __init__(self, folder: Path = STORE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        storage, containers = folder / "storage.conf", folder / "containers.conf"
        storage.write_text(STORAGE.format(folder), encoding="utf-8")
        containers.write_text(CONTAINERS, encoding="utf-8")
        self.environment = os.environ | {
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(containers),
            "BUILDAH_ISOLATION": "chroot",
        }

    def run(self, *words: str | Path, check: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """What podman answers; what it complains of, when it fails."""
        result = subprocess.run(
            ["podman", *map(str, words)],
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        said = f"podman {' '.join(map(str, words))}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
        assert result.returncode == 0 or not check, said
        return result

    def make(self, folder: Path, *words: str, **environment: str) -> str:
        """What a chore of the product says, with podman to build by."""
        result = subprocess.run(
            ["make", *words], cwd=folder, env=self.environment | environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    def told(self, *words: str | Path) -> str:
        return self.run(*words).stdout.strip()

    def has(self, image: str) -> bool:
        return self.run("image", "exists", image, check=False).returncode == 0

    def inspect(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.told("inspect", what))[0]
        return found

    def build(self, context: Path, tag: str, *options: str) -> None:
        """As `make image` does with podman, with what is here in place of a registry."""
        own = ("--pull-never", "--network", "host", "--format", "docker")
        self.run("build", *own, *options, "--tag", tag, context)

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """The image's files."""
        path = self.told("image", "mount", image)
        try:
            yield Path(path)
        finally:
            self.run("image", "unmount", image)

    @contextmanager
    def socket(self) -> Iterator[dict[str, str]]:
        """An environment in which Docker's clients find podman; health is asked here, where no systemd does."""
        path = self.folder / "docker.sock"
        command = ["podman", "system", "service", "--time=0", f"unix://{path}"]
        stop = threading.Event()
        asking = threading.Thread(target=self._ask_health, args=(stop,), daemon=True)
        with subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL) as service:
            try:
                eventually(path.exists, "podman listens")
                asking.start()
                yield self.environment | {"DOCKER_HOST": f"unix://{path}", "DOCKER_BUILDKIT": "0"}
            finally:
                stop.set()
                asking.join()
                service.terminate()

    def _ask_health(self, stop: threading.Event) -> None:
        starting = ("ps", "--quiet", "--filter", "health=starting")
        while not stop.wait(0.2):
            for container in self.run(*starting, check=False).stdout.split():
                self.run("healthcheck", "run", container, check=False)
