"""How fast: generation, start and memory, each beside the barest thing that does the same, in one run.

Medians of interleaved runs, so that a noisy machine troubles both sides alike. A bound that is missed
makes it fail.
"""

import argparse
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS = 7
POLL_SECONDS = 0.002
PATIENCE_SECONDS = 60.0
ENVIRONMENT = {"DATABASE_URL": "postgresql://bench@127.0.0.1:1/bench", "SECRET_KEY": "b" * 32}
BARE = """
import sys
import uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False)
"""


@dataclass(frozen=True)
class Row:
    """A figure, what it is held against, and the bounds that it has to keep."""

    what: str
    ours: float
    at_most: float
    unit: str = "s"
    bare: float | None = None
    ratio_at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.bare if self.bare else None

    @property
    def holds(self) -> bool:
        return self.ours <= self.at_most and (
            self.ratio is None or self.ratio_at_most is None or self.ratio <= self.ratio_at_most
        )

    def __str__(self) -> str:
        bare = f"{self.bare:8.2f}" if self.bare else f"{'':8}"
        ratio = f"{self.ratio:5.2f} ×" if self.ratio else f"{'':7}"
        limit = f"≤ {self.at_most:g} {self.unit}"
        limit += f", ≤ {self.ratio_at_most:g} ×" if self.ratio_at_most else ""
        verdict = "holds" if self.holds else "MISSED"
        return f"{self.what:44}{self.ours:8.2f} {self.unit:4}{bare}  {ratio}   {limit:18} {verdict}"


def generation(runs: int) -> Row:
    """Cookiecutter on the template, and on the same tree without hooks."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare"
        skipped = shutil.ignore_patterns(".git", ".venv", "build", "hooks")
        shutil.copytree(ROOT, bare, ignore=skipped)
        whole = Path(folder) / "whole"
        shutil.copytree(ROOT, whole, ignore=shutil.ignore_patterns(".git", ".venv", "build"))

        def bake(template: Path) -> float:
            output = Path(folder) / "output"
            command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input", "--default-config"]
            began = time.perf_counter()
            subprocess.run([*command, "--output-dir", str(output)], check=True, capture_output=True)
            took = time.perf_counter() - began
            shutil.rmtree(output)
            return took

        ours, theirs = paired(lambda: bake(whole), lambda: bake(bare), runs)
    return Row("generation, hooks included / without hooks", ours, 0.8, bare=theirs, ratio_at_most=2.0)


def start(product: Path, runs: int) -> list[Row]:
    """The web process, and a FastAPI application of one route, under the same uvicorn."""
    python, bare = product / ".venv/bin/python", product / ".venv/bare.py"
    bare.write_text(BARE)
    command = product / ".venv/bin" / product.name

    def web() -> float:
        with started(str(command), "serve", PORT="{port}") as seconds:
            return seconds[0]

    def plain() -> float:
        with started(str(python), str(bare), "{port}") as seconds:
            return seconds[0]

    def web_memory() -> float:
        with started(str(command), "serve", PORT="{port}") as (_, pid, url):
            ask(f"{url}/ready")  # loads what enqueues
            return resident_mib(pid)

    def plain_memory() -> float:
        with started(str(python), str(bare), "{port}") as (_, pid, _url):
            return resident_mib(pid)

    ours, theirs = paired(web, plain, runs)
    heavy, light = paired(web_memory, plain_memory, 3)
    return [
        Row("web process, first 200 / bare FastAPI", ours, 1.0, bare=theirs, ratio_at_most=1.8),
        Row("web process, memory with the broker loaded", heavy, 95, unit="MiB", bare=light),
    ]


def first_task(product: Path, runs: int) -> Row:
    """`make up` with the lock installed, its database new: the first task done."""

    def smoke() -> float:
        command = [str(product / ".venv/bin/python"), "-m", "tools.smoke"]
        done = subprocess.run(command, cwd=product, check=True, capture_output=True, text=True)
        said = re.search(r"first finished task ([\d.]+) s", done.stdout)
        return float(said[1]) if said else sys.exit(f"{done.stdout}\nsmoke named no figure")

    return Row("up, first finished task", statistics.median(smoke() for _ in range(runs)), 5.0)


def chore(what: str, folder: Path, at_most: float) -> Row:
    """`make test`, once; it must pass."""
    began = time.perf_counter()
    done = subprocess.run(["make", "test"], cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}{done.stderr[-1000:]}\nmake test failed in {folder}")
    return Row(what, time.perf_counter() - began, at_most)


def paired(ours: Callable[[], float], theirs: Callable[[], float], runs: int) -> tuple[float, float]:
    """Medians of both, run in turn after one of each that does not count."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


@contextmanager
def started(*command: str, **variables: str) -> Iterator[tuple[float, int, str]]:
    """A server: seconds from its start to its first 200, its pid, its URL."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = str(listener.getsockname()[1])
    filled = [word.format(port=port) for word in command]
    environment = ENVIRONMENT | {name: value.format(port=port) for name, value in variables.items()}
    began = time.perf_counter()
    with subprocess.Popen(filled, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            while ask(f"{url}/health") != 200:
                if server.poll() is not None or time.perf_counter() - began > PATIENCE_SECONDS:
                    sys.exit(f"{' '.join(filled)} did not answer")
                time.sleep(POLL_SECONDS)
            yield time.perf_counter() - began, server.pid, url
        finally:
            server.kill()


def ask(url: str) -> int:
    """The status; 0 where nothing listens yet."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0


def resident_mib(pid: int) -> float:
    if sys.platform == "linux":
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True)
    return int(told.stdout) / 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("product", type=Path, help="a generated project whose environment is installed")
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--without-tests", action="store_true", help="do not time the two `make test`")
    given = options.parse_args()
    product = given.product.resolve()
    rows = [generation(given.runs), *start(product, given.runs), first_task(product, 3)]
    if not given.without_tests:
        rows.append(chore("make test of the generated project", product, 90))
        rows.append(chore("make test of the template", ROOT, 600))
    print(f"{'':44}{'ours':>8} {'':4}{'bare':>8}  {'ratio':>7}   {'bound':18}")
    print(*rows, sep="\n")
    sys.exit(not all(row.holds for row in rows))


if __name__ == "__main__":
    main()
