"""The page behind a link in a notice: GET shows what is to be decided, POST alone decides.

What opens links by itself (a mail scanner, a preview) so decides nothing. The code in the path is
all that is needed, and nobody else has it: there is no cookie that another page could make use of.
"""

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from http import HTTPStatus
from string import Template
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Request, Response

from ...channels import Asked, Channels
from ...errors import AppError, Conflict, Forbidden, NotFound
from .callers import DECIDE

STYLE = """:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 42rem; margin: 2rem auto; padding: 0 1rem }
pre { padding: 1rem; border: 1px solid; border-radius: .5rem; white-space: pre-wrap;
  overflow-wrap: anywhere }
label { display: block; margin: 1rem 0 .25rem }
textarea { box-sizing: border-box; width: 100%; font: inherit }
button { margin: 1rem .5rem 0 0; padding: .5rem 1.5rem; font: inherit }"""
PAGE = Template(f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<style>{STYLE}</style></head>
<body><main><h1>$title</h1>
$content
</main></body></html>""")
FORM = Template("""<form method="post"><label for="words">$label</label>
<textarea id="words" name="words" rows="4" maxlength="10000"$required></textarea>
$buttons</form>""")
APPROVE = """<button name="decision" value="approve">Approve</button>
<button name="decision" value="refuse">Refuse</button>"""
ANSWER = """<button name="decision" value="answer">Answer</button>
<button name="decision" value="refuse" formnovalidate>Refuse to answer</button>"""
SAID = {"approve": "Approved", "answer": "Answered", "refuse": "Refused"}
REFUSALS = (Conflict, Forbidden, NotFound)
MOST_FIELDS = 10
MOST_WORDS = 10_000
HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{HASH}'; form-action 'self'; base-uri 'none'"
HEADERS = {"content-security-policy": f"{POLICY}; frame-ancestors 'none'"}
Code = Annotated[str, Path(max_length=64)]
router = APIRouter(prefix=DECIDE, include_in_schema=False)


@router.get("/{code}")
async def look(request: Request, code: Code) -> Response:
    channels: Channels = request.state.channels
    try:
        asked = await channels.asked(code)
    except REFUSALS as error:
        return _refused(error)
    if asked.decided:
        return _page("This has been decided", f"<p>{_plain(asked.decided)}</p>{_shown(asked)}")
    return _page("An agent asks", _shown(asked) + _form(asked))


@router.post("/{code}")
async def decide(request: Request, code: Code) -> Response:
    channels: Channels = request.state.channels
    decision, words = _chosen(await request.body())
    if decision not in SAID or len(words) > MOST_WORDS or (decision == "answer" and not words):
        return _page("Nothing was decided", "<p>Go back and choose.</p>", status=422)
    given = {"answer": words} if decision == "answer" else {"comment": words}
    try:
        await channels.decide(code, approved=decision != "refuse", **given)
    except REFUSALS as error:
        return _refused(error)
    return _page(SAID[decision], "<p>The agent goes on. You may close this page.</p>")


def _chosen(body: bytes) -> tuple[str, str]:
    """What the form sends; nothing where it is no such form."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=MOST_FIELDS)
    except ValueError:
        return "", ""
    return fields.get("decision", [""])[0], fields.get("words", [""])[0].strip()


def _shown(asked: Asked) -> str:
    arguments = json.dumps(asked.arguments, indent=2, ensure_ascii=False)
    why = f"<p>{_plain(asked.reason)}</p>" if asked.reason else ""
    return f"{why}<p>{_plain(asked.tool)}, with exactly this:</p><pre>{_plain(arguments)}</pre>"


def _plain(text: str) -> str:
    """Nothing that hides, or turns the direction: a model's words are not trusted."""
    return escape("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text))


def _form(asked: Asked) -> str:
    if asked.permission == "answer":
        return FORM.substitute(label="Your answer", required=" required", buttons=ANSWER)
    return FORM.substitute(label="A comment, if you like", required="", buttons=APPROVE)


def _refused(error: AppError) -> Response:
    return _page(error.title, f"<p>{escape(str(error))}</p>", status=error.status)


def _page(title: str, content: str, *, status: int = HTTPStatus.OK) -> Response:
    text = PAGE.substitute(title=escape(title), content=content)
    return Response(text, status, HEADERS, media_type="text/html")
