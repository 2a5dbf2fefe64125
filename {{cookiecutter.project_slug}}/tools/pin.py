"""`make pin`: what is named by a tag is named by its digest or commit too, as it is at this moment.

Read from the registries and repositories themselves: run it where they can be reached, look at what
has changed, and commit that. What has a digest keeps it.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

from .environments import PROJECT

FILES = (
    "Dockerfile",
    "Makefile",
    "compose*.yaml",
    ".gitlab-ci.yml",
    ".github/workflows/*.yml",
    "tools/pipeline/images.py",
)
ACTION = re.compile(r"(?P<before>\buses: )(?P<name>[\w.-]+/[\w./-]+)@(?P<tag>v[\w.]+)[ \t]*$")
IMAGE = re.compile(
    r"""(?P<before>^FROM |--from=|\b(?:image|name): ["']?|^[A-Z]+ :?= "?)"""
    r"(?P<name>(?:[\w.-]+(?::\d+)?/)*[\w-]+):(?P<tag>v?\d[\w.-]*)(?![\w.@-])"
)
Resolve = Callable[[str, str], str]
SECONDS = 60


def main() -> int:
    for file in sorted(file for pattern in FILES for file in PROJECT.glob(pattern)):
        text = file.read_text()
        made = pinned(text, commit=commit_of, digest=digest_of)
        file.write_text(made)
        print(f"{file.relative_to(PROJECT)}: {'pinned' if made != text else 'as it was'}")
        for line in left(made):
            print(f"    left as it is: {line}")
    return 0


def pinned(text: str, *, commit: Resolve, digest: Resolve) -> str:
    lines = (_line(line, commit=commit, digest=digest) for line in text.splitlines(keepends=True))
    return "".join(lines)


def left(text: str) -> Iterator[str]:
    """What has neither digest nor commit: a variable in its name, or no tag that says a version."""
    named = re.compile(r"^FROM \S*[:/]|--from=\S*[:/]|\bimage: \S*[:/]|\buses: [\w-]")
    for line in text.splitlines():
        if named.search(line) and not re.search(r"@(sha256:)?[0-9a-f]{40}", line):
            yield line.strip()


def _line(line: str, *, commit: Resolve, digest: Resolve) -> str:
    def by_commit(found: re.Match[str]) -> str:
        before, name, tag = found["before"], found["name"], found["tag"]
        return f"{before}{name}@{commit(name, tag)} # {tag}"

    def by_digest(found: re.Match[str]) -> str:
        return f"{found[0]}@{digest(found['name'], found['tag'])}"

    return IMAGE.sub(by_digest, ACTION.sub(by_commit, line))


def commit_of(name: str, tag: str, *, site: str = "https://github.com") -> str:
    """What the tag points to; of one with a message, the commit behind it."""
    repository = f"{site}/{'/'.join(name.split('/')[:2])}"
    refs = (f"refs/tags/{tag}", f"refs/tags/{tag}^" + "{}")
    told = _said("git", "ls-remote", repository, *refs).split()
    if not told:
        sys.exit(f"{repository} has no tag {tag}")
    return told[-2]


def digest_of(name: str, tag: str) -> str:
    told = _said("docker", "buildx", "imagetools", "inspect", f"{name}:{tag}")
    return str(re.findall(r"^Digest:\s+(sha256:[0-9a-f]{64})$", told, re.MULTILINE)[0])


def _said(*command: str) -> str:
    run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if run.returncode:
        sys.exit(f"{' '.join(command)}: {run.stderr.strip()}")
    return run.stdout


if __name__ == "__main__":
    sys.exit(main())
