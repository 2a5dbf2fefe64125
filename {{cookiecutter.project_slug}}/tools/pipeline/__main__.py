"""`python -m tools.pipeline VERB`: what the chores of the Makefile for pipelines do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..environments import PROJECT
from . import Refused, access, facts, images, notify
from .deploy import Pipeline

WAIT_SECONDS = 3600
BUILT = PROJECT / "release.env"


def main() -> int:
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in VERBS:
        sys.exit(f"{verb!r} is no verb: choose from {', '.join(VERBS)}")
    try:
        return VERBS[verb]()
    except Refused as why:
        sys.exit(f"{verb}: {why}")


def publish() -> int:
    """Leaves IMAGE=… in release.env, for the jobs that come after."""
    name, release = facts.image_name(PROJECT), given("RELEASE")
    made = {"VERSION": facts.version(given("VERSION")), "SOURCE": facts.run_of(os.environ).source}
    made["SOURCE_DATE_EPOCH"] = facts.head(PROJECT)[-1]
    log_in()
    if code := run_all(images.build(name, release=release, **made)):
        return code
    image = images.built((PROJECT / images.TOLD).read_text(), name, release=release)
    if code := run_all([*images.scan(image), *images.sign(image)]):
        return code
    BUILT.write_text(f"IMAGE={image}\n")
    print(image)
    return 0


def deploy() -> int:
    return pipeline().deploy(candidate())


def undo() -> int:
    return pipeline().undo(candidate())


def decide() -> int:
    staging = facts.place(given("AFTER"), PROJECT)
    seconds = int(os.environ.get("TIMEOUT") or WAIT_SECONDS)
    return pipeline().decide(candidate(), after=staging, seconds=seconds)


def verify() -> int:
    log_in()
    return run_all(images.verify(given("IMAGE"), facts.run_of(os.environ)))


def look() -> int:
    return run_all(images.scan_local(f"{facts.slug(PROJECT)}:{given('RELEASE')}"))


def dast() -> int:
    """Against this commit's own image, with a database of its own that is gone afterwards."""
    compose = ("docker", "compose", "--project-name", "dast")
    create = ("keys", "create", "dast", "--scopes", "chat,approve")
    try:
        if code := call((*compose, "up", "--wait")):
            return code
        inside = (*compose, "exec", "-T", "web", facts.slug(PROJECT), *create)
        made = subprocess.run(inside, cwd=PROJECT, capture_output=True, text=True, check=True)
        os.environ["ZAP_AUTH_HEADER_VALUE"] = f"Bearer {made.stdout.strip()}"
        return run_all(images.attack("http://localhost:8000"))
    finally:
        call((*compose, "down", "--volumes"))


def tell() -> int:
    run, what = facts.run_of(os.environ), given("VERSION")
    text = notify.sentence(facts.slug(PROJECT), what, given("OUTCOME"), run)
    notify.send(os.environ.get("NOTIFY_URL", ""), text)
    return 0


def token() -> int:
    print(json.dumps(access.credential()))
    return 0


def pipeline() -> Pipeline:
    place = facts.place(given("ENVIRONMENT"), PROJECT)
    if file := access.write_kubeconfig(place, os.environ, PROJECT):
        os.environ["KUBECONFIG"] = str(file)
    run = facts.run_of(os.environ)
    return Pipeline(service=facts.slug(PROJECT), place=place, run=run, call=call)


def candidate() -> facts.Candidate:
    return facts.candidate(given("VERSION"), given("IMAGE"), PROJECT)


def given(name: str) -> str:
    if value := os.environ.get(name):
        return value
    raise Refused(f"{name} is not given: make … {name}=…")


def log_in() -> None:
    """Where REGISTRY_TOKEN is: in the registry of the image, for as long as the run lasts."""
    if not (secret := os.environ.get("REGISTRY_TOKEN")):
        return
    os.environ |= {"TRIVY_USERNAME": given("REGISTRY_USER"), "TRIVY_PASSWORD": secret}
    registry = facts.image_name(PROJECT).partition("/")[0]
    command = ["docker", "login", registry, "--password-stdin", "--username"]
    subprocess.run([*command, given("REGISTRY_USER")], input=secret, text=True, check=True)


def run_all(commands: images.Commands) -> int:
    """The exit code of the first that fails."""
    return next(filter(None, map(call, commands)), 0)


def call(command: Sequence[str]) -> int:
    print("$", *command, flush=True)
    try:
        return subprocess.run(command, cwd=PROJECT, check=False).returncode
    except FileNotFoundError:
        raise Refused(f"{Path(command[0]).name} is not on the PATH") from None


VERBS: dict[str, Callable[[], int]] = {
    "publish": publish,
    "verify": verify,
    "deploy": deploy,
    "undo": undo,
    "decide": decide,
    "look": look,
    "dast": dast,
    "notify": tell,
    "token": token,
}

if __name__ == "__main__":
    sys.exit(main())
