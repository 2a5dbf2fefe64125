"""The settings as people read them: `.env.example`, the page in docs, `config show`."""

import secrets
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from .settings import SECRET_LENGTH, Settings


def env_example(*, with_secrets: bool = False) -> str:
    """Every setting with its help: what a laptop needs is set, the rest shows its default."""
    lines = [
        "# A laptop's settings: `make setup` makes .env of this, with a secret of its own.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        value = (
            secrets.token_urlsafe(SECRET_LENGTH)
            if with_secrets and name == "secret_key"
            else _laptop(field)
        )
        off = "" if field.is_required() or field.examples else "# "
        lines += [f"# {field.description}", f"{off}{name.upper()}={value}", ""]
    return "\n".join(lines)


def markdown() -> str:
    """The page docs/configuration.md."""
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Configuration",
            "",
            "Every setting is an environment variable, read once when a process starts.",
            "On a laptop `.env` is read too; the environment wins. Faults are named all at once.",
            "",
            "| variable | default | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def shown(settings: Settings) -> dict[str, str]:
    """Every value; of a URL all but the password, of another secret nothing."""
    return {name.upper(): _masked(name, value) for name, value in settings}


def _masked(name: str, value: object) -> str:
    text = _plain(value)
    if isinstance(value, SecretStr) and not name.endswith("_url"):
        return "***"
    if not name.endswith(("_url", "_endpoint")):
        return text
    url = urlsplit(text)
    user, at, place = url.netloc.rpartition("@")
    name_, colon, _ = user.partition(":")
    shown = f"{name_}{':***' if colon else ''}{at}{place}"
    return url._replace(
        netloc=shown, query="***" if "password" in url.query else url.query
    ).geturl()


def _laptop(field: FieldInfo) -> str:
    return str(field.examples[0]) if field.examples else _plain(field.get_default())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = _plain(field.get_default())
    return f"`{value}`" if value else ""


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or type(value).__name__ == "PydanticUndefinedType" else str(value)
