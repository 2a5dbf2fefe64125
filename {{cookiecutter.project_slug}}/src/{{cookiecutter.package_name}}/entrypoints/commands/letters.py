"""`letters`: notices that reached nobody, however often they were tried."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import AsJson, as_json, run, tell
from .story import line

if TYPE_CHECKING:
    from ...bootstrap import App

HEADING = f"{'ID':>6}  {'DIED':16}  {'KIND':8}  {'SESSION':36}  TO: WHY"
MOST = 10_000

letters = typer.Typer(no_args_is_help=True)


@letters.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="At most so many.")] = 50,
    json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    found = run(lambda app: app.channels.recipients.letters(limit=limit))
    typer.echo(as_json(found) if json else "\n".join([HEADING, *map(_row, found)]))


@letters.command()
def again(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID…", help="Of these.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    json: AsJson = False,
) -> None:
    """Have dead letters sent once more, by a worker."""
    if bool(ids) == everything:
        raise typer.BadParameter("name some by their ids, as in `letters list`; or --all")

    async def revived(app: "App") -> int:
        recipients = app.channels.recipients
        known = [letter["id"] for letter in await recipients.letters(limit=MOST)]
        return await recipients.revive(ids or known)

    count = run(revived)
    tell({"letters": count}, f"{count} letters go out again", json=json)


def _row(letter: dict[str, Any]) -> str:
    again = " (goes out again)" if letter["is_wanted"] else ""
    what = f"{letter['id']:6}  {letter['died_at']:%Y-%m-%d %H:%M}  {letter['kind']:8}"
    to = f"{letter['channel']}:{letter['place']}{again}"
    return f"{what}  {letter['session_id']:36}  {line(to)}: {line(letter['reason'])}"
