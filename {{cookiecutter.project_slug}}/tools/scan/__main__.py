"""`python -m tools.scan [NAME …]`: every scan, or those named; 1 where one finds something.

A scan whose tool is not here is skipped, loudly; where CI=true that counts as a fault.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..environments import PROJECT
from . import MissingTool, advisories, code, leaks, licences, migrations

Scan = Callable[[Path], Iterator[str]]
SCANS: dict[str, Scan] = {
    "code": code.faults,
    "secrets": leaks.faults,
    "migrations": migrations.faults,
    "licences": licences.faults,
    "advisories": advisories.faults,
}


def main() -> int:
    names = sys.argv[1:] or list(SCANS)
    if unknown := [name for name in names if name not in SCANS]:
        sys.exit(f"there is no {', '.join(unknown)} to scan: only {', '.join(SCANS)}")
    chosen = {name: SCANS[name] for name in names}
    return run(chosen, PROJECT, is_pipeline=os.environ.get("CI") == "true")


def run(scans: Mapping[str, Scan], project: Path, *, is_pipeline: bool) -> int:
    """Prints a line for each scan and each fault; 1 where there is one."""
    failed = False
    for name, scan in scans.items():
        try:
            found = list(scan(project))
        except MissingTool as why:
            print(f"{name:12} SKIPPED: {why}")
            failed |= is_pipeline
            continue
        print(f"{name:12} {f'{len(found)} found' if found else 'ok'}", *found, sep="\n    ")
        failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
