"""How long it takes somebody new: from `cookiecutter` to the first answer that a person has approved.

`python -m tools.newcomer` goes that way once with empty caches and once again, and writes commands and seconds
into README.md. Nothing of this machine is used but its Python, make and network.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- written by `make newcomer` -->", "<!-- until here -->"
PLAN = {
    "`cookiecutter gh:org/twelve-factor-agent`": "eight questions, answered by Enter: a project",
    "`cd release-agent && make setup`": "an environment, exactly the lock, every file by its hash",
    "`make up`": "PostgreSQL, migrations, web, worker and scheduler, ready",
    'say "deploy 1.4.2 to production"': "the agent asks a person first",
    "approve it": "deployed, checked, recorded: the first approved answer",
}
"""Each step, and what is there after it."""
TOTAL = "all of it"
PATIENCE = 600.0
Seconds = dict[str, float]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        first = way(root / "first", caches=root / "caches")
        again = way(root / "again", caches=root / "caches")
    table = page(first, again, where=machine(), when=f"{datetime.now(UTC):%Y-%m-%d}")
    README.write_text(put(README.read_text(encoding="utf-8"), table), encoding="utf-8")
    print(table)
    return 0


def way(folder: Path, *, caches: Path) -> Seconds:
    """The seconds of each step, in a home that is empty but for the caches of an earlier one."""
    folder.mkdir()
    took: Seconds = {}
    steps = iter(PLAN)

    def done(act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = act()
        took[next(steps)] = time.perf_counter() - began
        return result

    given = environment(folder, caches)
    done(lambda: run(["cookiecutter", str(ROOT), "--no-input", "--default-config"], folder, given))
    project = next(path for path in folder.iterdir() if (path / "Makefile").exists())
    done(lambda: run(["make", "setup", f"PYTHON={sys.executable}"], project, given))
    with up(project, given) as ready:
        done(ready)
        url, key = f"http://127.0.0.1:{given['PORT']}", key_in(project / ".env")
        session, request = done(lambda: asked(url, key))
        answer = done(lambda: approved(key, session, request))
    if "runs in production" not in answer:
        sys.exit(f"newcomer: the answer is another: {answer}")
    return took


def environment(folder: Path, caches: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))}
    return kept | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UV_CACHE_DIR": str(caches / "uv"),
        "PIP_CACHE_DIR": str(caches / "pip"),
        "PORT": str(free_port()),
    }


def run(command: list[str], folder: Path, given: dict[str, str]) -> None:
    made = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=PATIENCE)
    if made.returncode:
        sys.exit(f"newcomer: {' '.join(command)} ended with {made.returncode}:\n{made.stdout}{made.stderr}")


@contextmanager
def up(project: Path, given: dict[str, str]) -> Iterator[Callable[[], None]]:
    """Gives what starts the service, and returns when it is ready; it stops with the block."""
    started: list[subprocess.Popen[bytes]] = []

    def ready() -> None:
        command = ["make", "up"]
        started.append(
            subprocess.Popen(command, cwd=project, env=given, stdout=log, stderr=log, start_new_session=True)
        )
        eventually(lambda: started[0].poll() is not None or "is up after" in said.read_text(encoding="utf-8"))
        if started[0].poll() is not None:
            sys.exit(f"newcomer: make up ended:\n{said.read_text(encoding='utf-8')}")

    said = project / "up.log"
    with said.open("wb") as log:
        try:
            yield ready
        finally:
            for process in started:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait(timeout=60)


def key_in(env: Path) -> str:
    """The one that `make up` has made."""
    return str(re.findall(r"(?m)^API_KEY=(.+)$", env.read_text(encoding="utf-8"))[0])


def asked(url: str, key: str) -> tuple[str, str]:
    """The session, and the decision that it waits for."""
    session = f"{url}/chat/sessions/{ask(f'{url}/chat/sessions', key, {})['session_id']}"
    told = ask(f"{session}/messages", key, {"text": "deploy 1.4.2 to production"})
    return session, told["pending"][0]["request_id"]


def approved(key: str, session: str, request: str) -> str:
    ask(f"{session}/approvals/{request}", key, {"approved": True})
    eventually(lambda: ask(session, key)["status"] == "idle")
    return str(ask(f"{session}/history", key)["history"][-1]["response"])


def ask(url: str, key: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=40) as answer:
        return json.load(answer)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except urllib.error.URLError:
            pass
        time.sleep(0.02)
    sys.exit("newcomer: it does not come up")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def machine() -> str:
    return f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"


def page(first: Seconds, again: Seconds, *, where: str, when: str) -> str:
    """The table, with the steps as they are in PLAN."""
    rows = [f"| {step} | {first[step]:.1f} | {again[step]:.1f} | {there} |" for step, there in PLAN.items()]
    sums = [sum(round(took[step], 1) for step in PLAN) for took in (first, again)]
    return "\n".join(
        [
            "| step | seconds, the first time | again | what is there then |",
            "|---|---|---|---|",
            *rows,
            f"| **{TOTAL}** | **{sums[0]:.1f}** | **{sums[1]:.1f}** | {where}, {when}; first with empty caches |",
        ]
    )


def put(readme: str, table: str) -> str:
    """The README with this table between its marks."""
    pattern = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(readme)) != 1:
        sys.exit(f"{README.name}: {BEGIN} and {END} have to stand there once")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", readme)


def faults(readme: str) -> Iterator[str]:
    """Where the README's table says something else than the plan, or does not add up."""
    rows = re.findall(r"^\| ([^|]+?) \| ([\d.]+) \| ([\d.]+) \| ([^|]+) \|$", readme, re.MULTILINE)
    if {step: there for step, _, _, there in rows} != PLAN:
        yield "README.md: the steps are not those of tools/newcomer.py: run make newcomer"
    sums = re.findall(rf"\*\*{TOTAL}\*\* \| \*\*([\d.]+)\*\* \| \*\*([\d.]+)\*\*", readme)
    found = [(f"{sum(float(row[1]) for row in rows):.1f}", f"{sum(float(row[2]) for row in rows):.1f}")]
    if sums != found:
        yield "README.md: the seconds do not add up: run make newcomer"


if __name__ == "__main__":
    sys.exit(main())
