"""Licences: each dependency of the locks has one that a service may live with."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

LOCKS = ("requirements.txt", "requirements-dev.txt")
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Unlicense",
    "ZPL-2.1",
}
CALLED = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "New BSD": "BSD-3-Clause",
}
"""As packages say it that know no SPDX names."""
OSI = "License :: OSI Approved"
LGPL = "LGPL-3.0-only"
EXCEPTIONS = {"psycopg": LGPL, "psycopg-binary": LGPL, "psycopg-pool": LGPL}
"""Imported as they are, and anybody may put another build in their place: all that it asks for."""
ELSEWHERE = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "tzdata": "Apache-2.0",
}
"""What only other platforms install, read from its source."""


def faults(project: Path) -> Iterator[str]:
    for name in sorted({name for lock in LOCKS for name in pinned(project / lock)}):
        licence = licence_of(name)
        unknown = set(parts(licence)) - ALLOWED - {EXCEPTIONS.get(name)}
        if unknown or not licence:
            which = " and ".join(sorted(unknown)) or "no licence"
            yield f"{name} has {which}: allow it in {__name__} with a reason, or go without it"


def pinned(lock: Path) -> list[str]:
    return re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE)


def licence_of(name: str) -> str:
    """As an SPDX expression, where the package or this file knows one; else in its own words."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ELSEWHERE.get(name, "")
    if expression := about.get_all("License-Expression"):
        return str(expression[0])
    classifiers = about.get_all("Classifier") or []
    named = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith(OSI) and c != OSI]
    said = named or [text.splitlines()[0] for text in about.get_all("License") or [] if text]
    return " AND ".join(CALLED.get(name, name) for name in said)


def parts(expression: str) -> list[str]:
    """Every licence that an expression names: all have to be allowed, also where one may choose."""
    return [part for part in re.split(r" AND | OR |[()]", expression) if part.strip()]
