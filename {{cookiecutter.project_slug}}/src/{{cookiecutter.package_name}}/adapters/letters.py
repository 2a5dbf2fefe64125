"""E-mail, read and written: what of it is new, whose conversation it is, whether a person wrote it.

A notice is named <KEY.THREAD@host>, the same at each try, so that whoever answers it names the
thread, however little of the conversation a mail program keeps.
"""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

from ..agent.events import storable
from ..errors import AppError

MARK = "-- answer above this line --"
MOST_TEXT, MOST_SUBJECT = 100_000, 200
MOST_KEPT = 10
"""References, besides the first: those of a long conversation would fill each message's head."""
MOST_HEAD, MOST_PAGE, MOST_LINES = 100_000, 500_000, 10_000
ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,255}")
OURS = re.compile(r"<[A-Za-z0-9-]+\.([0-9a-f]{32})@[^<>\s]+>")
ID = re.compile(r"<[^<>\s]{1,400}>")
BEGINNING = re.compile(r"\s*(On|Am|Le|El|Il|Op|Em|Den|W dniu) ")
ATTRIBUTION = re.compile(r".{5,300}:", re.DOTALL)
REST = re.compile(
    r"-{2,} ?(original message|forwarded message|ursprüngliche nachricht) ?-{2,}|_{20,}",
    re.IGNORECASE,
)
HEADED = re.compile(r"^\*?(Sent|Gesendet|Envoyé|Date|To|An):", re.MULTILINE)
HEADING = re.compile(r"\*?(From|Von|De|Da):\*? .+")
MACHINES = {"mailer-daemon", "postmaster"}
BULK = {"bulk", "junk", "list", "auto_reply"}
AUTOMATIC = ("List-Id", "List-Unsubscribe", "X-Autoreply", "X-Autorespond")
DECISION = re.compile(
    r"\s*(approve|refuse|answer)[ \t]+([A-Za-z0-9_-]{20,200})(?!\S)(.*)", re.IGNORECASE | re.DOTALL
)


class Unreadable(AppError):
    status = 422
    title = "No message"


@dataclass(frozen=True)
class Letter:
    """A message of a person."""

    id: str
    sender: str
    subject: str
    thread: str
    references: tuple[str, ...]
    """What an answer to it refers to, the message itself being the last."""
    text: str
    automatic: str
    """Why nobody is to be answered (RFC 3834); empty where a person wrote it."""

    @property
    def details(self) -> dict[str, Any]:
        """What is needed to answer it."""
        references = " ".join(self.references)
        return {"to": self.sender, "subject": self.subject, "references": references}


@dataclass(frozen=True)
class Decision:
    verb: str
    code: str
    rest: str


def read(raw: bytes) -> Letter:
    """What was written; the standard library's parser stumbles in many ways over what is none."""
    head = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]
    if len(head) > MOST_HEAD:
        raise Unreadable(f"its head has {len(head)} bytes, and {MOST_HEAD} is the most")
    try:
        return _letter(message_from_bytes(raw, policy=policy.default))
    except Exception as error:
        why = (
            f"it can't be read ({type(error).__name__}): send the message as it came, head and all"
        )
        raise Unreadable(why) from error


def _letter(message: EmailMessage) -> Letter:
    known = _ids(message, "References") or _ids(message, "In-Reply-To")
    own = next(iter(_ids(message, "Message-ID")), "")
    id_ = own or f"<{sha256(message.as_bytes()).hexdigest()}@no.id>"
    chain = [*known, id_]
    ours = (found[1] for one in reversed(known) if (found := OURS.fullmatch(one)))
    subject = " ".join(str(message["Subject"] or "").split())[:MOST_SUBJECT]
    return Letter(
        id=id_,
        sender=_sender(message),
        subject=str(storable(subject)),
        thread=next(ours, thread_of(chain[0])),
        references=tuple(dict.fromkeys([chain[0], *chain[-MOST_KEPT:]])),
        text=fresh(_text(message))[:MOST_TEXT],
        automatic=_automatic(message),
    )


def _automatic(message: EmailMessage) -> str:
    if _first(message, "Auto-Submitted") not in {"", "no"}:
        return "Auto-Submitted"
    if _first(message, "Precedence") in BULK:
        return "Precedence"
    if message.get_content_type() == "multipart/report" or _first(message, "Return-Path") == "<>":
        return "a bounce"
    if _sender(message).partition("@")[0] in MACHINES:
        return "a mail server"
    return next((name for name in AUTOMATIC if message[name] is not None), "")


def _sender(message: EmailMessage) -> str:
    """Who wrote it; nobody, where several are named: then it is unclear who speaks."""
    found = getaddresses([str(value) for value in message.get_all("From", [])])
    address = found[0][1].lower() if len(found) == 1 else ""
    return address if ADDRESS.fullmatch(address) else ""


def thread_of(named: str) -> str:
    return sha256(named.encode()).hexdigest()[:32]


def id_of(key: str, thread: str, author: str) -> str:
    """The Message-ID of a notice, the same at each try."""
    return f"<{key}.{thread}@{author.rpartition('@')[2]}>"


def decision(text: str) -> Decision | None:
    """What a reply decides; one without a code is only a message, whatever it says."""
    if not (found := DECISION.fullmatch(text)):
        return None
    verb, code, rest = found.groups()
    return Decision(verb.lower(), code.lower(), rest.strip(" \t\r\n:,-"))


def fresh(text: str) -> str:
    """Without what it quotes, and without the signature."""
    lines = text.replace("\r\n", "\n").split("\n", MOST_LINES)[:MOST_LINES]
    kept, at = list[str](), 0
    while at < len(lines) and not _is_end(lines, at):
        if quoted := _attribution(lines, at):
            at += quoted
            continue
        if not lines[at].lstrip().startswith(">"):
            kept.append(lines[at])
        at += 1
    return str(storable("\n".join(kept))).strip()


def _is_end(lines: list[str], at: int) -> bool:
    """Whether what follows was there before: our own mark, a signature, Outlook's quotation."""
    line, following = lines[at].strip(), "\n".join(lines[at + 1 : at + 4])
    if line == MARK or lines[at] in {"-- ", "--"} or REST.fullmatch(line):
        return True
    return bool(HEADING.fullmatch(line) and HEADED.search(following))


def _attribution(lines: list[str], at: int) -> int:
    """How many lines say who wrote what is quoted next; mail programs break a long one in two."""
    if not BEGINNING.match(lines[at]):
        return 0
    for count in (1, 2, 3):
        following = next((line for line in lines[at + count : at + count + 3] if line.strip()), "")
        said = "\n".join(lines[at : at + count]).strip()
        if following.lstrip().startswith(">") and ATTRIBUTION.fullmatch(said):
            return count
    return 0


def _text(message: EmailMessage) -> str:
    if (body := message.get_body(("plain", "html"))) is None:
        return ""
    content = str(body.get_content())
    if body.get_content_subtype() != "html":
        return content
    page = Page()
    page.feed(content[:MOST_PAGE])
    page.close()
    return "".join(page.said)


class Page(HTMLParser):
    """The text of a page, without what it quotes."""

    LEFT_OUT, BREAKS = {"script", "style", "head", "blockquote"}, {"br", "p", "div", "li", "tr"}

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._inside = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._inside += tag in self.LEFT_OUT
        if tag in self.BREAKS:
            self.said.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in self.LEFT_OUT and self._inside > 0

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.said.append(data)


def _ids(message: EmailMessage, name: str) -> list[str]:
    return [one for value in message.get_all(name, []) for one in ID.findall(str(value))]


def _first(message: EmailMessage, name: str) -> str:
    return str(message[name] or "").partition(";")[0].strip().lower()
