"""The leash, as it works where the kernel can't be asked; with processes, but no network."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.entrypoints import leash

SLEEPER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]


def started(parent: int, *command: str) -> subprocess.Popen[str]:
    tied = [sys.executable, "-m", leash.__name__, str(parent), str(int(signal.SIGTERM)), *command]
    return subprocess.Popen(tied, stdout=subprocess.PIPE, text=True)


def test_elsewhere_a_command_is_put_on_the_leash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    command = leash.leashed(["true"], signal.SIGKILL)
    assert command == [sys.executable, "-m", leash.__name__, str(os.getpid()), "9", "true"]
    leash.tie(os.getpid(), signal.SIGKILL)


def test_the_exit_code_comes_through() -> None:
    with started(os.getpid(), sys.executable, "-c", "raise SystemExit(7)") as process:
        assert process.wait(30) == 7


def test_a_signal_to_stop_comes_through() -> None:
    with started(os.getpid(), *SLEEPER) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) != 0


@pytest.mark.parametrize("stubborn", [False, True])
def test_once_the_parent_is_gone_the_command_ends_too(tmp_path: Path, *, stubborn: bool) -> None:
    pid_file = tmp_path / "pid"
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if stubborn else ""
    script = f"import os, signal; {ignore}open({str(pid_file)!r}, 'w').write(str(os.getpid())); "
    script += "signal.pause()"
    not_its_parent = 1
    with started(not_its_parent, sys.executable, "-c", script) as process:
        assert process.wait(30) != 0
    if pid_file.exists():  # or it ended before it could say who it is
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)
