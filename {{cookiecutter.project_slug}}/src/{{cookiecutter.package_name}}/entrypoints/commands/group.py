"""How all commands are entered: what is used wrongly is one line too, as every other error is."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from ..terminal import RED, is_on_github, painted

ABORTED = 130


class Commands(TyperGroup):
    def main(self, *given: Any, **named: Any) -> Any:
        if is_on_github():
            from typer import rich_utils

            rich_utils.FORCE_TERMINAL = None
        try:
            code = super().main(*given, **named | {"standalone_mode": False})
        except typer.TyperException as error:
            say_error(_line(error))
            code = error.exit_code
        except typer.Abort:
            code = ABORTED
        sys.exit(code or 0)


def say_error(text: str) -> None:
    """One line for each of its own."""
    for line in text.splitlines():
        typer.echo(f"{painted('error:', RED, sys.stderr)} {line}", err=True)


def _line(error: typer.TyperException) -> str:
    """What is wrong, and where it is said how it goes; nothing of a help that has been shown."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    said = " ".join(error.format_message().split()).removeprefix("Invalid value: ")
    context = getattr(error, "ctx", None)
    return f"{said} (`{context.command_path} --help`)" if context else said
