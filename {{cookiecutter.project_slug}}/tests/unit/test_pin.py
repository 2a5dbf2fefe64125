"""`make pin`: what is named by a tag is named by its digest or commit too."""

import subprocess
from pathlib import Path

import pytest

from tools import pin

DIGEST = "sha256:" + "ab" * 32
PINS = [
    ("      - uses: actions/checkout@v7.0.1\n", "      - uses: actions/checkout@C # v7.0.1\n"),
    ("    image: postgres:18\n", f"    image: postgres:18@{DIGEST}\n"),
    ("  - name: docker:29.7.2-dind\n", f"  - name: docker:29.7.2-dind@{DIGEST}\n"),
    ('TRIVY = "ghcr.io/a/trivy:0.74.0"\n', f'TRIVY = "ghcr.io/a/trivy:0.74.0@{DIGEST}"\n'),
    ("FROM python:3.13-slim AS build\n", f"FROM python:3.13-slim@{DIGEST} AS build\n"),
    ("COPY --from=ghcr.io/a/uv:0.13.8 /uv\n", f"COPY --from=ghcr.io/a/uv:0.13.8@{DIGEST} /uv\n"),
]
STAY = [
    "    image: app:${RELEASE:-unreleased}\n",
    "FROM python:${PYTHON_VERSION}-slim\n",
    f"    image: postgres:18@{DIGEST}\n",
    f"      - uses: actions/checkout@{'c' * 40} # v7.0.1\n",
    "    uses: ./.github/workflows/ci.yml\n",
    "      - 127.0.0.1:${PORT:-8000}:8000\n",
    '    python-version: "3.13"\n',
    "COPY --from=build /app /app\n",
    "  - name: image\n",
]


@pytest.mark.parametrize(("line", "pinned"), PINS)
def test_a_tag_gets_the_digest_or_commit_that_it_stands_for(line: str, pinned: str) -> None:
    resolved = {"commit": lambda *_: "C", "digest": lambda *_: DIGEST}
    assert pin.pinned(line, **resolved) == pinned
    assert pin.pinned(pinned, **resolved) == pinned


@pytest.mark.parametrize("line", STAY)
def test_what_has_no_tag_or_a_digest_already_stays(line: str) -> None:
    def never(name: str, tag: str) -> str:
        raise AssertionError(name, tag)

    assert pin.pinned(line, commit=never, digest=never) == line


def test_what_could_not_be_pinned_is_said() -> None:
    text = "".join(STAY)
    assert list(pin.left(text)) == [STAY[0].strip(), STAY[1].strip()]


def test_a_tag_is_read_from_the_repository_itself(tmp_path: Path) -> None:
    def git(*command: str) -> str:
        given = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.com", *command]
        run = subprocess.run(given, cwd=tmp_path, check=True, capture_output=True, text=True)
        return run.stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "One")
    git("tag", "v1")
    git("tag", "-a", "v2", "-m", "with a message")
    commit = git("rev-parse", "HEAD")
    name, site = "/".join(tmp_path.parts[-2:]), "/".join(tmp_path.parts[:-2])
    assert pin.commit_of(name, "v1", site=site) == commit
    assert pin.commit_of(f"{name}/inside", "v2", site=site) == commit
    with pytest.raises(SystemExit, match="has no tag v3"):
        pin.commit_of(name, "v3", site=site)
