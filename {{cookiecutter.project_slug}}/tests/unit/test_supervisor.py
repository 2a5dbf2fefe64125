"""What `up` does where a test of the whole can't bring it about."""

import asyncio
import os
import signal
import sys

import pytest

from {{ cookiecutter.package_name }}.entrypoints import child as children
from {{ cookiecutter.package_name }}.entrypoints.child import Child
from {{ cookiecutter.package_name }}.entrypoints.supervisor import Supervisor
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET

SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]


def test_a_line_without_end_is_shown_in_pieces(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(children, "LINE_LENGTH", 1000)

    async def scenario() -> int:
        child = Child("endless", [sys.executable, "-c", "print('x' * 500_000)"])
        await child.start()
        return await child.ended()

    assert asyncio.run(scenario()) == 0
    shown = capfd.readouterr().out.splitlines()
    assert len(shown) > 1
    assert sum(line.count("x") for line in shown) == 500_000


def test_a_child_that_can_not_be_started_again_ends_everything_with_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)

    class Doomed(Supervisor):
        async def run(self) -> int:
            child = Child("doomed", SLEEP)
            await self._start(child)
            child.command = ["/no/such/program"]
            os.kill(child.pid, signal.SIGKILL)
            await self._stopping.wait()
            return self._exit_code

    monkeypatch.chdir("/tmp")
    assert asyncio.run(Doomed(Settings.load(), None).run()) == 1
    assert "doomed can't be started again: [Errno 2]" in capfd.readouterr().out
