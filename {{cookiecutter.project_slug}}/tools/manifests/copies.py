"""Files that kustomize has to find below its own folder, made of those that say it first."""

from collections.abc import Iterator
from pathlib import Path

from .build import FOLDER

ENVIRONMENTS = Path("deploy", "environments")
ALERTS = Path("deploy", "monitoring", "alerts.yaml")
RULES = FOLDER / "components" / "monitoring" / "rules.yaml"
WRAPPING = """# Made of {} by `make format`: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: app
spec:
"""


def environments(project: Path) -> list[str]:
    return sorted(file.stem for file in (project / ENVIRONMENTS).glob("*.yaml"))


def copies(project: Path) -> Iterator[tuple[Path, str]]:
    """Each such file with its text."""
    for name in environments(project):
        text = (project / ENVIRONMENTS / f"{name}.env").read_text()
        first = f"# Made of {ENVIRONMENTS / name}.env by `make format`: change it there.\n"
        yield FOLDER / "overlays" / name / "settings.env", first + text
    alerts = (project / ALERTS).read_text().splitlines(keepends=True)
    groups = "".join(f"  {line}" if line.strip() else line for line in alerts)
    yield RULES, WRAPPING.format(ALERTS) + groups


def write(project: Path) -> None:
    for file, text in copies(project):
        (project / file).write_text(text)


def faults(project: Path) -> Iterator[str]:
    for file, text in copies(project):
        if not (project / file).is_file() or (project / file).read_text() != text:
            yield f"{file} is not what it is made of: run `make format`"
