"""`python -m tools.sbom`: writes sbom.json, what the image is made of, in CycloneDX.

cyclonedx-py reads the lock; the licences are those that `make scan` knows. The same lock, the same
file: no time and no random number is in it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .environments import PROJECT, executable, missing
from .scan.licences import licence_of

ENVIRONMENT = "tools"
LOCK = "requirements.txt"
OPTIONS = ("--output-reproducible", "--output-format", "JSON", "--pyproject", "pyproject.toml")


def main() -> int:
    if why := missing(ENVIRONMENT):
        sys.exit(f"no cyclonedx-py here: {why}")
    bill = named(listed(PROJECT))
    (PROJECT / "sbom.json").write_text(json.dumps(bill, indent=2) + "\n")
    print(f"sbom.json lists {len(bill['components'])} dependencies")
    return 0


def listed(project: Path) -> dict[str, Any]:
    """Every pin of the lock, with its hashes."""
    command = [str(executable(ENVIRONMENT, "cyclonedx-py")), "requirements", LOCK, *OPTIONS]
    made = subprocess.run(command, cwd=project, capture_output=True, check=True)
    bill: dict[str, Any] = json.loads(made.stdout)
    return bill


def named(bill: dict[str, Any]) -> dict[str, Any]:
    """The bill with the licence of each component; one that has none stops it."""
    components = [_with_licence(component) for component in bill["components"]]
    return {**bill, "components": components}


def _with_licence(component: dict[str, Any]) -> dict[str, Any]:
    """Beside it the description, which is but the line of the lock, would only be in the way."""
    name = component["name"]
    kept = {key: value for key, value in component.items() if key != "description"}
    if not (licence := licence_of(name)):
        sys.exit(f"{name} has no licence that is known: see `make scan`")
    return {**kept, "licenses": [{"expression": licence}]}


if __name__ == "__main__":
    sys.exit(main())
