"""`python -m tools.manifests`: all of it, 1 where something is wrong; `--write` makes the copies.

What a tool is missing for is skipped, loudly; where CI=true that counts as a fault.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..environments import PROJECT
from ..scan import MissingTool
from . import code, compose, copies, environments, network, queries, references, safety, schema
from .build import Build, build

VARIANTS = [
    ("production", "redis", "keda", "monitoring", "external-secrets", "canary", "lane"),
    ("production", "rabbitmq"),
]
"""Beside every overlay as it is: each component once."""


def main() -> int:
    if "--write" in sys.argv:
        copies.write(PROJECT)
        return 0
    return run(PROJECT, is_pipeline=os.environ.get("CI") == "true")


def run(project: Path, *, is_pipeline: bool) -> int:
    """Prints each fault once; 1 where there is one."""
    found, is_skipped = list(of_files(project)), False
    try:
        builds = [build(project, *variant) for variant in variants(project)]
        found += [fault for made in builds for fault in of_build(project, made)]
        found += schema.faults(builds)
    except MissingTool as why:
        print(f"manifests SKIPPED: {why}")
        is_skipped = True
    for fault in dict.fromkeys(found):
        print(fault)
    return int(bool(found) or (is_skipped and is_pipeline))


def variants(project: Path) -> list[tuple[str, ...]]:
    return [*((name,) for name in copies.environments(project)), *VARIANTS]


def of_files(project: Path) -> Iterator[str]:
    """What is wrong before anything is built."""
    yield from copies.faults(project)
    for name in copies.environments(project):
        said = environments.in_description(project, name)
        yield from (f"deploy/environments/{name}.yaml: {fault}" for fault in said)
        said = compose.in_environment(project, name)
        yield from (f"compose.{name}.yaml: {fault}" for fault in said)


def of_build(project: Path, made: Build) -> Iterator[str]:
    """What is wrong with what was built, or with building it."""
    if made.said:
        yield f"{made.name}: {made.said}"
    if not made.text:
        return
    checks = [
        environments.faults(project, made),
        compose.in_images(project, made),
        references.faults(made),
        network.faults(made, code.public()),
        safety.faults(made),
        code.faults(project, made),
        queries.faults(made),
    ]
    yield from (f"{made.name}: {fault}" for check in checks for fault in check)


if __name__ == "__main__":
    sys.exit(main())
