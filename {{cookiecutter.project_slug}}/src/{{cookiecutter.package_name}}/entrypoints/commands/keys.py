"""`keys`: who may call the API, for what and how much. A secret is shown once, stored nowhere."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...ports import Allowance, Scope
from ...service import OPERATOR
from ...settings import Settings
from . import AsJson, as_json, run, tell

if TYPE_CHECKING:
    from ...bootstrap import App

HEADING = f"{'NAME':20}  {'OWNER':12}  {'SCOPES':18}  {'KEY':13}  {'LAST USED':16}  STATE"

LABEL = re.compile(r"[A-Za-z0-9._@-]{1,64}")

keys = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As in `keys list`.")]
Days = Annotated[
    int | None, typer.Option(min=1, max=36_500, help="Until it expires; without: never.")
]


def _label(text: str) -> str:
    if not LABEL.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no name: letters, digits and . _ @ - make one")
    return text


def _scopes(text: str) -> list[Scope]:
    known: dict[str, Scope] = {"chat": "chat", "approve": "approve", "admin": "admin"}
    wanted = [part.strip() for part in text.split(",")]
    if unknown := set(wanted) - known.keys():
        expected = f"expected some of {', '.join(known)}, separated by commas"
        raise typer.BadParameter(f"{', '.join(sorted(unknown))!r} is no scope: {expected}")
    return [known[part] for part in dict.fromkeys(wanted)]


@keys.command()
def create(  # noqa: PLR0913
    name: Annotated[
        str, typer.Argument(metavar="NAME", parser=_label, help="It signs what the key does.")
    ],
    *,
    owner: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            parser=_label,
            help="Whose sessions it sees: all keys of an owner share them.",
        ),
    ] = OPERATOR.owner,
    scopes: Annotated[
        Any, typer.Option(parser=_scopes, metavar="SCOPES", help="Of chat, approve, admin.")
    ] = "chat",
    days: Days = None,
    requests: Annotated[int | None, typer.Option(min=0, help="A minute.")] = None,
    sessions: Annotated[int | None, typer.Option(min=0, help="At work at a time.")] = None,
    tokens: Annotated[int | None, typer.Option(min=0, help="A day.")] = None,
    cost: Annotated[float | None, typer.Option(min=0, help="US dollars a day.")] = None,
    json: AsJson = False,
) -> None:
    """Make a key and show it, this once. What it may do is what KEY_… say, unless given; 0: no
    limit.
    """
    allowance = Allowance(
        requests=requests,
        sessions=sessions,
        tokens=tokens,
        cost=None if cost is None else Decimal(str(cost)),
    )
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None

    async def made(app: "App") -> dict[str, Any]:
        from ...adapters.keys import Grant

        return await app.keys.create(
            Grant(name=name, owner=owner, scopes=scopes, allowance=allowance, expires_at=expires_at)
        )

    _show(run(made), json=json)


@keys.command("list")
def list_(*, json: AsJson = False) -> None:
    """List all keys, without their secrets."""
    found = run(lambda app: app.keys.list())
    typer.echo(as_json(found) if json else "\n".join([HEADING, *map(_row, found)]))


@keys.command()
def rotate(
    name: Name,
    *,
    hours: Annotated[
        float, typer.Option(min=0, max=8_760, help="The old secret is good so long.")
    ] = 24,
    json: AsJson = False,
) -> None:
    """Give a key a new secret, and show it, this once."""
    _show(run(lambda app: app.keys.rotate(name, grace=timedelta(hours=hours))), json=json)


@keys.command()
def revoke(name: Name, *, json: AsJson = False) -> None:
    """Let a key in no more, within 5 seconds everywhere. The sessions stay its owner's."""
    run(lambda app: app.keys.revoke(name))
    tell({"name": name, "revoked": True}, f"key {name} is revoked", json=json)


@keys.command()
def webhook(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of those in WEBHOOKS.")],
    *,
    json: AsJson = False,
) -> None:
    """Show the secret by which that program signs what it sends to /hooks/NAME."""
    from ...signatures import secrets_of

    settings = Settings.load()
    if not (secrets := list(secrets_of(name, settings))):
        raise typer.BadParameter(f"{name!r} is not in WEBHOOKS={settings.webhooks}: add it there")
    tell({"name": name, "secret": secrets[0]}, secrets[0], json=json)


@keys.command()
def mail(*, json: AsJson = False) -> None:
    """Show the secret by which a mail server signs what it hands to /channels/mail."""
    from ...signatures import MAIL, keys_for

    tell({"secret": keys_for(MAIL, Settings.load())[0]}, json=json)


def _show(made: dict[str, Any], *, json: bool) -> None:
    typer.echo(as_json(made) if json else made["key"])
    if not json:
        typer.echo("it is shown this once; `Authorization: Bearer` carries it", err=True)


def _row(key: dict[str, Any]) -> str:
    used = f"{key['last_used_at']:%Y-%m-%d %H:%M}" if key["last_used_at"] else "never"
    who = f"{key['name']:20}  {key['owner']:12}  {','.join(key['scopes']):18}"
    return f"{who}  {key['prefix']:13}  {used:16}  {_state(key)}"


def _state(key: dict[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {key['revoked_at']:%Y-%m-%d}"
    if not (expires := key["expires_at"]):
        return "in use"
    return f"{'expired' if expires <= datetime.now(UTC) else 'until'} {expires:%Y-%m-%d}"
