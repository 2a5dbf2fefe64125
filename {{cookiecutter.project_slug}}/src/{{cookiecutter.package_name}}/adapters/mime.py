"""What a message says, in time that grows with its length alone, whoever made it.

The parser of the standard library can take minutes over a few kB that were made for that: it asks
each open part about each line, and reads every parameter of every part.
"""

import codecs
import re
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from html import unescape
from itertools import islice

from ..errors import AppError

MOST_HEAD, MOST_TEXT = 32_768, 500_000
MOST_PARTS, MOST_DEPTH = 50, 10
"""So many are looked at: what a person says stands among the first."""
END = re.compile(rb"(?:\A|\r?\n)\r?\n")
HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|title)\b.*?(?:</\1[^<>]*>|\Z)", re.DOTALL | re.IGNORECASE
)
TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+|[!?])[^<>]*+>")
BREAKS = {"br", "p", "div", "li", "tr"}
SLOW = {"punycode"}


class Unreadable(AppError):
    status = 422
    title = "No message"


def opened(part: bytes) -> tuple[Message, bytes]:
    """The head of a message, or of a part of one, and all that follows it."""
    end = END.search(part, 0, MOST_HEAD + 4)
    if end is None and len(part) > MOST_HEAD:
        raise Unreadable(f"it has a head of more than {MOST_HEAD} bytes")
    head, body = (part[: end.start()], part[end.end() :]) if end else (part, b"")
    return BytesHeaderParser().parsebytes(head), body


def text_of(raw: bytes) -> str:
    """What a person reads there first: plain text, or else the words of a page."""
    pages = list[str]()
    for message, body in _leaves(raw):
        if _is_attached(message):
            continue
        if message.get_content_type() == "text/plain":
            return _content(message, body)
        if message.get_content_type() == "text/html" and not pages:
            pages.append(_content(message, body))
    return words("".join(pages))


def words(page: str) -> str:
    """Without what it quotes."""
    page = HIDDEN.sub("", page)
    said, at, quotes = list[str](), 0, 0
    for tag in TAG.finditer(page):
        said.append("" if quotes else page[at : tag.start()])
        at, is_end, name = tag.end(), bool(tag[1]), tag[2].lower()
        if name == "blockquote":
            quotes = max(0, quotes + (-1 if is_end else 1))
        elif name in BREAKS and not is_end and not quotes:
            said.append("\n")
    said.append("" if quotes else page[at:])
    return unescape("".join(said))


def _leaves(raw: bytes) -> Iterator[tuple[Message, bytes]]:
    """The parts that have no parts, in order."""
    waiting = [(raw, 0)]
    for _ in range(MOST_PARTS):
        if not waiting:
            return
        part, depth = waiting.pop()
        message, body = opened(part)
        if message.get_content_maintype() != "multipart":
            yield message, body
        elif depth < MOST_DEPTH and not _is_attached(message):
            most = 1 if message.get_content_subtype() == "related" else MOST_PARTS
            inner = list(islice(_parts(body, _parameter(message, "boundary")), most))
            waiting += [(one, depth + 1) for one in reversed(inner)]


def _parts(body: bytes, boundary: str) -> Iterator[bytes]:
    if not boundary:
        return
    named = re.escape(boundary.encode(errors="replace"))
    mark = re.compile(rb"^--" + named + rb"(--)?[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
    begin = None
    for found in mark.finditer(body):
        if begin is not None:
            yield body[begin : found.start()]
        if found[1]:
            return
        begin = found.end()
    if begin is not None:
        yield body[begin:]


def _content(message: Message, body: bytes) -> str:
    message.set_payload(body.decode("ascii", "surrogateescape"))
    payload = message.get_payload(decode=True)
    content = payload[:MOST_TEXT] if isinstance(payload, bytes) else b""
    charset = _parameter(message, "charset") or "utf-8"
    try:
        known = codecs.lookup(charset).name
        return content.decode("latin-1" if known in SLOW else known, "replace")
    except (LookupError, ValueError):  # nobody knows it here, and most of it is ASCII
        return content.decode("latin-1")


def _parameter(message: Message, name: str) -> str:
    """Of its type; empty where it has none."""
    given = re.search(
        rf";\s*{name}\s*=\s*(?:\"([^\"]{{1,200}})\"|([^\s;\"]{{1,200}}))",
        str(message["Content-Type"] or ""),
        re.IGNORECASE,
    )
    return (given[1] or given[2]).strip() if given else ""


def _is_attached(message: Message) -> bool:
    return message.get_content_disposition() == "attachment"
