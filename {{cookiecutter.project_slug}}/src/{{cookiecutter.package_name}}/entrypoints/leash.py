"""What a supervisor starts must not outlive it, not even its kill -9.

Linux's kernel sees to that when asked (PR_SET_PDEATHSIG). Elsewhere this module is started between
the two and watches; of the standard library alone, so that it costs nothing to speak of.
"""

import ctypes
import os
import signal
import subprocess
import sys

LOOK_SECONDS = 0.5
GRACE_SECONDS = 3
PR_SET_PDEATHSIG = 1


def leashed(command: list[str], orphaned: signal.Signals) -> list[str]:
    """The command to start instead, so that this signal ends it once its parent is gone."""
    if sys.platform == "linux":
        return command
    return [sys.executable, "-m", __name__, str(os.getpid()), str(orphaned.value), *command]


def tie(parent: int, orphaned: signal.Signals) -> None:
    """The same on Linux, done by the child before it becomes the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, orphaned.value)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)


def main(parent: int, orphaned: int, command: list[str]) -> int:
    child = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _: child.send_signal(given))
    while True:
        try:
            return child.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                return _end(child, orphaned)


def _end(child: subprocess.Popen[bytes], orphaned: int) -> int:
    child.send_signal(orphaned)
    try:
        return child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
