"""Every combination of answers, installed and checked by itself; then the default product on every Python to be had."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).parent.parent
MINORS = range(11, 15)


def interpreters() -> dict[str, str]:
    """Version → a Python of it that runs: on the PATH, else pyenv's."""
    found = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in (f"3.{minor}" for minor in MINORS):
        candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
        for path in filter(None, candidates):
            if subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0:
                found[version] = path
                break
    return found


def holds(title: str, folder: Path, answers: dict[str, str], chores: tuple[str, ...], python: str) -> bool:
    """Bakes a project and has it do its chores; says what happened in one line."""
    folder.mkdir()
    project = cookiecutter(str(ROOT), no_input=True, default_config=True, extra_context=answers, output_dir=str(folder))
    for chore in chores:
        result = subprocess.run(
            ["make", chore, f"PYTHON={python}"], cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if result.returncode:
            print(f"FAILED  {title}: make {chore}\n{(result.stdout + result.stderr)[-4000:]}", flush=True)
            return False
    print(f"holds   {title}: make {' '.join(chores)}", flush=True)
    shutil.rmtree(folder)
    return True


def main() -> None:
    features = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_features"]
    found = interpreters()
    results = []
    with tempfile.TemporaryDirectory() as name:
        for version, python in found.items():
            results.append(holds(f"Python {version}", Path(name) / version, {}, ("check", "test"), python))
        for choice in product(*features.values()):
            answers = dict(zip(features, choice, strict=True))
            title = " ".join(f"{key}={answer}" for key, answer in answers.items())
            results.append(holds(title, Path(name) / "-".join(choice), answers, ("check",), sys.executable))
    for missing in (f"3.{minor}" for minor in MINORS if f"3.{minor}" not in found):
        print(f"MISSING Python {missing}: not on the PATH, not in pyenv; nothing is known about it")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
