"""Importing has no effect: what a process is made of is decided when it starts."""

import logging
import threading
from importlib import import_module
from pkgutil import walk_packages

import pytest

from ..processes import PACKAGE

NEEDS = {"migrations", "__main__"}  # what Alembic, and what Python, runs


def test_every_module_is_imported_with_nothing_set_reached_started_or_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    package = import_module(PACKAGE)
    before = (threading.active_count(), list(logging.getLogger().handlers))
    found = [module.name for module in walk_packages(package.__path__, f"{PACKAGE}.")]
    for name in found:
        if not NEEDS & set(name.split(".")):
            import_module(name)
    assert len(found) > 50
    assert (threading.active_count(), list(logging.getLogger().handlers)) == before
    assert capfd.readouterr() == ("", "")
