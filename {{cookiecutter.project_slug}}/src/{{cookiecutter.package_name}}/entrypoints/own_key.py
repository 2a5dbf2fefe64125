"""The key of whoever runs `up`: made once, kept in .env for nobody else to read, never said."""

import os
import re
from pathlib import Path

from pydantic import SecretStr

from ..adapters.keys import Grant, new_key
from ..bootstrap import running
from ..ports import Allowance
from ..service import OPERATOR
from ..settings import Settings

NAME = "local"
LINE = re.compile(r"^#? ?API_KEY=.*\n?", re.MULTILINE)
NO_LIMIT = Allowance(requests=0, sessions=0, tokens=0, cost=0)


async def let_in(settings: Settings) -> str:
    """How the API is called with that key, for a shell in this directory."""
    given = settings.api_key
    key = given.get_secret_value() if given else new_key()
    grant = Grant(
        name=NAME, owner=OPERATOR.owner, scopes=("chat", "approve", "admin"), allowance=NO_LIMIT
    )
    async with running(settings, "up") as app:
        await app.keys.let_in(grant, key=key)
    if not given:
        remember(SecretStr(key))
    url = f"http://127.0.0.1:{settings.port}/chat/sessions"
    return f'curl -H "Authorization: Bearer $(sed -n s/^API_KEY=//p .env)" -X POST {url}'


def remember(key: SecretStr, *, file: Path = Path(".env")) -> None:
    """Writes it beside what stands there; whole or not at all."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    line = f"API_KEY={key.get_secret_value()}\n"
    text, count = LINE.subn(lambda _: line, text, count=1)
    if not count:
        text += "\n" * (bool(text) and not text.endswith("\n")) + line
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
        written.write(text)
    new.replace(file)
