"""`python3 -m tools.compose`: the service on one machine. It needs Python and docker alone.

`secrets staging` writes what compose mounts into secrets/staging/. `release staging` starts what
RELEASE names beside what runs, and stops the old processes once the new ones are ready, or else the
new ones. Migrations only expand, so both run on the new schema. Begun again after a break, it comes
to the same end. It leaves database and proxy alone: `docker compose up` is for those.
"""

import argparse
import json
import os
import secrets
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
FILES = {
    "production": ["compose.production.yaml"],
    "staging": ["compose.production.yaml", "compose.staging.yaml"],
}
PROCESSES = ("web", "worker", "scheduler")
PATIENCE = 120
WAIT = ("--detach", "--wait", "--wait-timeout", str(PATIENCE))
READY = """
import os, sys, time, urllib.request
until = time.monotonic() + float(sys.argv[1])
while True:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{os.environ[sys.argv[2]]}/ready", timeout=10)
        break
    except OSError as error:
        if time.monotonic() > until:
            raise SystemExit(f"not ready: {error}")
        time.sleep(0.5)
"""
BROKERS = {
    "pgmq": "pgmq:",
    "redis": "redis://redis:6379/0",
    "rabbitmq": "amqp://app:{queue}@rabbitmq:5672//",
}
SECRETS = {
    "SECRET_KEY": "{key}",
    "POSTGRES_PASSWORD": "{database}",
    "DATABASE_URL": "postgresql://postgres:{database}@postgres:5432/postgres",
    "rabbitmq.conf": "default_user = app\ndefault_pass = {queue}\n",
    "OPENAI_API_KEY": "",
    "ANTHROPIC_API_KEY": "",
    "SENTRY_DSN": "",
}
"""What is empty is as good as not set."""
Run = Callable[..., str]


def main(arguments: Sequence[str]) -> int:
    given = asked(arguments)
    if given.what == "secrets":
        return write_secrets(PROJECT / "secrets" / given.environment, BROKERS[given.broker])
    os.environ["ENVIRONMENT"] = given.environment  # what watches asks for it
    names = FILES[given.environment] + [f"compose.{name}.yaml" for name in given.add]
    files = [word for name in names for word in ("--file", name)]
    machine = Machine(("docker", "compose", *files), ask=answer, run=show if given.dry_run else do)
    return machine.release()


def asked(arguments: Sequence[str]) -> argparse.Namespace:
    title, _, more = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(prog="tools.compose", description=title, epilog=more)
    commands = parser.add_subparsers(dest="what", required=True)
    writes = commands.add_parser("secrets", help="write the files that compose mounts")
    writes.add_argument("--broker", choices=BROKERS, default="pgmq")
    starts = commands.add_parser("release", help="start what RELEASE names, stop what it replaces")
    starts.add_argument("--add", action="append", choices=("monitoring", "logging"), default=[])
    starts.add_argument("--dry-run", action="store_true", help="look, and say what would be done")
    for command in (writes, starts):
        command.add_argument("environment", choices=FILES)
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Machine:
    """Where compose runs the service: `ask` looks, `run` changes."""

    compose: tuple[str, ...]
    ask: Run
    run: Run

    def release(self) -> int:
        """The exit code: 1 where what ran before still runs, or nothing does."""
        old = self.running()
        if not old:
            self.run(*self.compose, "up", *WAIT)
            self.see_ready(old)
            return 0
        try:
            self.run(*self.compose, "run", "--rm", "--no-deps", "-T", "migrate")
            self.start_beside(old)
        except (subprocess.CalledProcessError, KeyboardInterrupt):
            self.remove(self.running().keys() - old.keys())
            say("the new release did not get ready and is gone; what ran before still runs")
            return 1
        self.run("docker", "stop", *old)
        self.remove(old.keys())
        return 0

    def running(self) -> dict[str, str]:
        """Container → process."""
        return {
            container[:12]: name
            for name in PROCESSES
            for container in self.ask(*self.compose, "ps", "--all", "--quiet", name).split()
        }

    def start_beside(self, old: dict[str, str]) -> None:
        """Returns once every new process is ready."""
        services = json.loads(self.ask(*self.compose, "config", "--format", "json"))["services"]
        count = Counter(old.values())
        for name in PROCESSES:
            count[name] += services[name].get("deploy", {}).get("replicas", 1)
        scales = (f"--scale={name}={count[name]}" for name in PROCESSES)
        self.run(*self.compose, "up", *WAIT, "--no-deps", "--no-recreate", *scales, *PROCESSES)
        self.see_ready(old)

    def see_ready(self, old: Collection[str]) -> None:
        """Every new one: healthy is a process too that waits for its database."""
        for container, name in self.running().items():
            if container not in old:
                told = (str(PATIENCE), "PORT" if name == "web" else "METRICS_PORT")
                self.run("docker", "exec", container, "python", "-c", READY, *told)

    def remove(self, containers: Collection[str]) -> None:
        if containers:
            self.run("docker", "rm", "--force", *sorted(containers))


def write_secrets(folder: Path, broker: str) -> int:
    """All or nothing, for some go together. Only its owner opens the folder, and Docker, as root:
    it shows single files to the users of containers, who have to be able to read them.
    """
    if folder.exists():
        sys.exit(f"{folder} is there and may be in use: to begin anew, take it away first")
    folder.mkdir(mode=0o700, parents=True)
    made = {"key": secrets.token_urlsafe(32)}
    made |= {name: secrets.token_hex(24) for name in ("database", "queue")}
    for name, text in (SECRETS | {"BROKER_URL": broker}).items():
        file = folder / name
        file.write_text(text.format(**made))
        file.chmod(0o444)
        say(f"wrote {file.relative_to(folder.parents[1])}")
    return 0


def answer(*command: str) -> str:
    return subprocess.run(
        command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def do(*command: str) -> str:
    show(*command)
    subprocess.run(command, cwd=PROJECT, check=True)
    return ""


def show(*command: str) -> str:
    say(shlex.join(word if "\n" not in word else "…" for word in command))
    return ""


def say(line: str) -> None:
    print(f"compose | {line}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"compose | ended with {error.returncode}: {shlex.join(error.cmd)}")
