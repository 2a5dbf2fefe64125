"""Runs a command that must not outlive its parent, where the kernel can't be asked for that.

Linux can (PR_SET_PDEATHSIG); elsewhere the supervisor starts each child through this module.
Standard library alone, so that it costs a child nothing to speak of.
"""

import os
import signal
import subprocess
import sys

LOOK_SECONDS = 0.5
GRACE_SECONDS = 3


def main(parent: int, stop: int, command: list[str]) -> int:
    child = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _: child.send_signal(given))
    while True:
        try:
            return child.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                return _end(child, stop)


def _end(child: subprocess.Popen[bytes], stop: int) -> int:
    child.send_signal(stop)
    try:
        return child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
