"""Kubernetes' own schemas, closed: a field that nobody knows is a fault.

What an operator brings (KEDA, Argo Rollouts, …) has no schema here, and is passed over.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence

from ..environments import executable, missing
from ..scan import MissingTool
from .build import Build

OLDEST = "1.34"
"""The first Kubernetes in which all that the manifests use is there for good, as the sleep is."""
PASSED_OVER = "Couldn't find schema for kind"
TOLD = r"^ERROR .* for resource "


def faults(builds: Sequence[Build]) -> Iterator[str]:
    if why := missing("manifests"):
        raise MissingTool(f"kubernetes-validate is not here: {why}")
    things = sorted({text for build in builds for text in _things(build)})
    validate = str(executable("manifests", "kubernetes-validate"))
    made = subprocess.run(
        [validate, "--strict", "--quiet", "--kubernetes-version", OLDEST, "-"],
        input="\n---\n".join(things),
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in (made.stdout + made.stderr).splitlines() if PASSED_OVER not in line]
    yield from sorted({re.sub(TOLD, "", line) for line in said})
    if made.returncode and not said:
        yield f"kubernetes-validate ended with {made.returncode}"


def _things(build: Build) -> list[str]:
    """Each object; what two environments have alike is alike here, and looked at once."""
    return build.text.replace(build.environment, "environment").split("\n---\n")
