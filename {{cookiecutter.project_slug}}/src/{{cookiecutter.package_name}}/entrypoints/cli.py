"""The command line: starts every process and does every one-off task (factor XII).

Exit codes: 0 done, 1 failed, 2 wrong usage, 69 a backing service does not answer,
78 wrong configuration; of `decide` also 3 refused, 4 undecided.
"""

import logging
import os
import signal
import sys
from importlib import import_module
from typing import Annotated, Literal

import typer

from ..about import about
from ..errors import AppError
from ..settings import Settings
from .commands import (
    AsJson,
    agents,
    approve,
    ask,
    backup,
    chat,
    decide,
    doctor,
    keys,
    letters,
    opened,
    releases,
    sessions,
    tell,
    upkeep,
)
from .commands.group import Commands, say_error

cli = typer.Typer(
    cls=Commands,
    help=f"{about().description}\n\n{__doc__.split(chr(10), 2)[2].strip()}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config = typer.Typer(no_args_is_help=True)
cli.add_typer(config, name="config", help="Look at the configuration, all of which is environment.")
cli.add_typer(sessions.sessions, name="sessions", help="See what agents do; stop it, let it go on.")
cli.add_typer(keys.keys, name="keys", help="See who may call the API; let in, keep out.")
cli.add_typer(letters.letters, name="letters", help="See what reached nobody; send it again.")
cli.add_typer(agents.agents, name="agents", help="See who answers here; begin one of your own.")
cli.add_typer(releases.release, name="release", help="See and write what was deployed where.")
cli.command(rich_help_panel="Conversations")(chat.chat)
cli.command(rich_help_panel="Conversations")(ask.ask)
cli.command(rich_help_panel="Conversations")(decide.decide)
cli.command(rich_help_panel="Conversations")(approve.approve)
cli.command()(doctor.check)
cli.command()(doctor.doctor)
cli.command()(upkeep.report)
cli.command()(upkeep.seed)
cli.command()(upkeep.cleanup)
cli.command()(backup.backup)
cli.command()(backup.restore)


def main() -> None:
    """The console script. Every error that is ours is one line, and has its exit code."""
    logging.basicConfig(handlers=[logging.NullHandler()])  # processes log, commands answer
    try:
        cli(prog_name=about().slug)
    except AppError as error:
        say_error(str(error))
        sys.exit(error.exit_code)


@cli.command(rich_help_panel="Processes")
def serve() -> None:
    """Run the web process on $PORT."""
    _run("web.app", "serve")


@cli.command(rich_help_panel="Processes")
def work() -> None:
    """Run a worker: it does the tasks that the broker brings."""
    _run("worker", "work")


@cli.command(rich_help_panel="Processes")
def schedule() -> None:
    """Run a scheduler: of several, one acts."""
    _run("scheduler", "schedule")


@cli.command(rich_help_panel="Processes")
def up() -> None:
    """Run everything on this machine, with its own PostgreSQL, until Ctrl-C."""
    _run("supervisor", "up")


@cli.command()
def migrate(
    action: Annotated[Literal["up", "status", "new"], typer.Argument()] = "up",
    message: Annotated[str, typer.Argument(help="Of a new one, as in 'add sessions'.")] = "",
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL and change nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Bring the database's schema up to date, twice does no harm; say where it is, with exit code 1
    where migrations are missing; or write a new, empty one.
    """
    if (action == "new") != bool(message) or (dry_run and action != "up"):
        raise typer.BadParameter("a message goes with `new`, and only that; --dry-run with `up`")
    from ..adapters.schema import new_migration
    from ..bootstrap import schema

    if action == "new":
        tell({"file": new_migration(message)}, json=json)
        return
    database = schema(Settings.load())
    if dry_run:
        tell({"sql": database.sql().strip()}, json=json)
        return
    pending = database.pending()
    if action == "up":
        database.upgrade()
    did = "applied" if action == "up" else "missing"
    words = [*(f"{did} {step}" for step in pending), state := database.state()]
    tell({did: pending, "state": state}, "\n".join(words), json=json)
    raise typer.Exit(1 if pending and action == "status" else 0)


@config.command("show")
def config_show(*, json: AsJson = False) -> None:
    """Print what this process would run with; secrets are not shown."""
    from ..configuration import shown

    values = shown(Settings.load())
    tell(values, "\n".join(f"{name}={value}" for name, value in values.items()), json=json)


@config.command("check")
def config_check(*, json: AsJson = False) -> None:
    """Say whether the environment is complete and right; name every fault."""
    Settings.load()
    tell({"complete": True}, "the configuration is complete", json=json)


@config.command("example")
def config_example(
    *,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Fill in fresh secrets: a ready .env.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the page docs/configuration.md.")
    ] = False,
) -> None:
    """Print `.env.example`: every setting, its meaning and its default."""
    from .. import configuration

    text = configuration.markdown() if markdown else configuration.env_example(with_secrets=secrets)
    typer.echo(text, nl=False)


@cli.command()
def version(*, json: AsJson = False) -> None:
    """Print the version."""
    tell({"version": about().version}, json=json)


@cli.command()
def completion(
    context: typer.Context, shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument()]
) -> None:
    """Print what makes a shell complete these commands: `eval "$(… completion bash)"`, for fish
    `… completion fish | source`.
    """
    from typer.completion import shell_complete

    slug, root = about().slug, context.find_root().command
    variable = f"_{slug}_COMPLETE".replace("-", "_").upper()
    raise typer.Exit(shell_complete(root, {}, slug, variable, f"source_{shell}"))


@cli.command()
def shell() -> None:
    """Open a Python prompt with `service`, `upkeep`, and `run(…)` to await."""
    import code

    with opened() as (runner, app):
        names = {"service": app.service, "upkeep": app.upkeep, "run": runner.run}
        banner = f"{about().name} {about().version}. As in: run(upkeep.faults())"
        code.interact(banner, local=names, exitmsg="")


def _run(module: str, process: str) -> None:
    """SIGTERM is an order to end well also while a process still loads; later it listens itself.

    There is nothing to tidy up yet, and an exception may get lost in the middle of an import.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    run = getattr(import_module(f"{__package__}.{module}"), process)
    raise typer.Exit(run(Settings.load()))
