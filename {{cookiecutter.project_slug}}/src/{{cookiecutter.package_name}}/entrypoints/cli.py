"""The command line: starts every process and does every one-off task (factor XII).

Exit codes: 0 done, 1 failed, 2 wrong usage, 69 a backing service does not answer,
78 wrong configuration.
"""

import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer

from ..about import about
from ..errors import AppError, Unavailable
from ..settings import Settings
from .commands import agents, chat, doctor, sessions, upkeep

POLL_SECONDS = 0.05

cli = typer.Typer(
    help=f"{about().description}\n\n{__doc__.split(chr(10), 2)[2].strip()}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
migrate = typer.Typer(invoke_without_command=True)
config = typer.Typer(no_args_is_help=True)
cli.add_typer(
    migrate, name="migrate", help="Bring the database's schema up to date, or look at it."
)
cli.add_typer(config, name="config", help="Look at the configuration, all of which is environment.")
cli.add_typer(sessions.sessions, name="sessions", help="See what agents do; stop it, let it go on.")
cli.add_typer(agents.agents, name="agents", help="See who answers here; begin one of your own.")
cli.command(rich_help_panel="Conversations")(chat.chat)
cli.command(rich_help_panel="Conversations")(sessions.approve)
cli.command()(doctor.doctor)
cli.command()(upkeep.report)
cli.command()(upkeep.seed)
cli.command()(upkeep.cleanup)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the SQL and change nothing.")]


def main() -> None:
    """The console script. Every error that is ours is one line, and has its exit code."""
    logging.basicConfig(handlers=[logging.NullHandler()])  # processes log, commands answer
    try:
        cli(prog_name=about().slug)
    except AppError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)


@cli.command(rich_help_panel="Processes")
def serve() -> None:
    """Run the web process on $PORT."""
    _end_at_once_when_told()
    from .web.app import serve as run

    _exit(run)


@cli.command(rich_help_panel="Processes")
def work() -> None:
    """Run a worker: it does the tasks that the broker brings."""
    _end_at_once_when_told()
    from .worker import work as run

    _exit(run)


@cli.command(rich_help_panel="Processes")
def schedule() -> None:
    """Run a scheduler: of several, one acts."""
    _end_at_once_when_told()
    from .scheduler import schedule as run

    _exit(run)


@cli.command(rich_help_panel="Processes")
def up() -> None:
    """Run everything on this machine, with its own PostgreSQL, until Ctrl-C."""
    _end_at_once_when_told()
    from .supervisor import up as run

    _exit(run)


@migrate.callback()
def migrate_default(context: typer.Context, *, dry_run: DryRun = False) -> None:
    """Without a command: `up`."""
    if context.invoked_subcommand is None:
        migrate_up(dry_run=dry_run)
    elif dry_run:
        raise typer.BadParameter("it goes after the command, as in `migrate up --dry-run`")


@migrate.command("up")
def migrate_up(*, dry_run: DryRun = False) -> None:
    """Apply every migration that the database lacks. Twice does no harm."""
    from ..bootstrap import schema

    database = schema(Settings.load())
    if dry_run:
        typer.echo(database.sql().strip())
        return
    pending = database.pending()
    database.upgrade()
    for step in pending:
        typer.echo(f"applied {step}")
    typer.echo(database.state())


@migrate.command("status")
def migrate_status() -> None:
    """Say where the schema is. Exit code 1 where migrations are missing."""
    from ..bootstrap import schema

    database = schema(Settings.load())
    pending = database.pending()
    for step in pending:
        typer.echo(f"missing {step}")
    typer.echo(database.state())
    raise typer.Exit(1 if pending else 0)


@migrate.command("new")
def migrate_new(
    message: Annotated[str, typer.Argument(help="What it does, as in 'add sessions'.")],
) -> None:
    """Write an empty migration, numbered after the last, and print its path."""
    from ..adapters.schema import new_migration

    typer.echo(new_migration(message))


@cli.command()
def check(
    *,
    timeout: Annotated[int, typer.Option(min=0, help="Seconds to wait for a worker.")] = 10,
) -> None:
    """Ask every part for a sign of life: database, schema, broker, workers."""
    asyncio.run(_check(Settings.load(), timeout))


async def _check(settings: Settings, seconds: int) -> None:
    from ..bootstrap import running

    async with running(settings, "cli") as app:
        faults = await app.service.faults()
        for name, fault in faults.items():
            typer.echo(f"{name:9} {fault or 'ok'}")
        if any(faults.values()):
            raise Unavailable("no worker was looked for: the services above come first")
        until = time.monotonic() + seconds
        while not (workers := await app.service.workers()):
            if time.monotonic() > until:
                raise Unavailable(f"no worker showed a sign of life within {seconds} s")
            await asyncio.sleep(POLL_SECONDS)
        typer.echo(f"worker    ok, {', '.join(workers)}")


@config.command("show")
def config_show(
    *, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False
) -> None:
    """Print what this process would run with; secrets are not shown."""
    from ..configuration import shown

    values = shown(Settings.load())
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        typer.echo(f"{name}={value}")


@config.command("check")
def config_check() -> None:
    """Say whether the environment is complete and right; name every fault."""
    Settings.load()
    typer.echo("the configuration is complete")


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
def version() -> None:
    """Print the version."""
    typer.echo(about().version)


@cli.command()
def shell() -> None:
    """Open a Python prompt with `service`, `settings`, and `run(…)` for what is awaited."""
    import code

    from ..bootstrap import running

    settings = Settings.load()
    with asyncio.Runner() as runner:
        app = running(settings, "shell")
        names = {
            "settings": settings,
            "service": runner.run(app.__aenter__()).service,
            "run": runner.run,
        }
        banner = f"{about().name} {about().version}. Here: {', '.join(names)}."
        try:
            code.interact(f"{banner} As in: run(service.faults())", local=names, exitmsg="")
        finally:
            runner.run(app.__aexit__(None, None, None))


def _end_at_once_when_told() -> None:
    """SIGTERM is an order to end well also while a process still loads; later it listens itself."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _exit(process: Callable[[Settings], int]) -> None:
    raise typer.Exit(process(Settings.load()))
