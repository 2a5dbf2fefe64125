"""A page that shows how something is done, done as it says: block by block, in order.

A block with a title is a file; one of `diff` changes a file, and fails where the file is another by
now; one of `console` is typed, and has to say what stands there. There are no others, so nothing in
such a page is unproven.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PROMPT, LEFT_OUT, HUNK = "$ ", "…", "@@"
COMMAND_SECONDS = 60


class Untrue(Exception):
    """What the page says is not so."""


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for found in BLOCK.finditer(page):
        yield Block(found[1], found[2] or "", found[3])


def walk(page: str, project: Path, *, environment: dict[str, str]) -> dict[Path, str]:
    """Does all of it in the project; what the files were made that were written or changed."""
    touched = dict[Path, str]()
    for block in blocks(page):
        if block.language == "console":
            _type(block.text, project, environment)
        elif not block.title:
            raise Untrue(f"a block of {block.language} says of no file what it is: {block.text}")
        else:
            file = project / block.title
            if block.language == "diff":
                file.write_text(changed(file.read_text(), block.text, name=block.title))
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
            touched[file] = file.read_text()
    return touched


def changed(text: str, diff: str, *, name: str) -> str:
    """The text with each hunk done; what a hunk begins from has to stand there, once."""
    for hunk in re.split(rf"^{HUNK}.*\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[:1] in " -\n")
        after = "".join(line[1:] for line in lines if line[:1] in " +\n")
        if text.count(before) != 1:
            raise Untrue(f"{name} has this {text.count(before)} times, not once:\n{before}")
        text = text.replace(before, after)
    return text


def _type(text: str, project: Path, environment: dict[str, str]) -> None:
    for part in text.split(f"\n{PROMPT}"):
        command, _, shown = part.removeprefix(PROMPT).partition("\n")
        ran = subprocess.run(
            ["/bin/sh", "-euc", command],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if ran.returncode:
            raise Untrue(f"{command} ends with {ran.returncode}:\n{ran.stdout}")
        if not re.search(_pattern(shown), ran.stdout, re.DOTALL):
            raise Untrue(f"{command} does not say\n{shown}\nbut\n{ran.stdout}")


def _pattern(shown: str) -> str:
    """What may stand where the page leaves something out is its own business."""
    lines = [line for line in shown.splitlines() if line.strip()]
    return ".*".join(".*".join(map(re.escape, line.split(LEFT_OUT))) for line in lines)
