"""E-mail, read and written: what of it is new, whose conversation it is, whether a person wrote it.

A notice is named <KEY.THREAD@host>, the same at each try, so that whoever answers it names the
thread, however little of the conversation a mail program keeps.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import policy
from email.message import Message
from email.utils import getaddresses
from hashlib import sha256
from typing import Any

from ..agent.events import storable
from .mime import Unreadable, opened, text_of

MARK = "-- answer above this line --"
MOST_TEXT, MOST_SUBJECT = 100_000, 200
MOST_KEPT = 10
"""References, besides the first: those of a long conversation would fill each message's head."""
MOST_LINES, MOST_FROM, MOST_ENCODED = 10_000, 1_000, 8_000
ADDRESS = re.compile(r"[^\s\x00-\x20\x7f\ud800-\udfff<>@,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,255}")
OURS = re.compile(r"<[A-Za-z0-9-]+\.([0-9a-f]{32})@[^<>\s]+>")
ID = re.compile(r"<[!-;=?-~]{1,400}>")
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


@dataclass(frozen=True)
class Sender:
    address: str
    """Empty where it is unclear who speaks."""
    automatic: str
    """Why nobody is to be answered (RFC 3834); empty where a person wrote it."""


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

    @property
    def details(self) -> dict[str, Any]:
        """What is needed to answer it: `to` is whoever began the thread, `by` who wrote last."""
        answered = {"subject": self.subject, "references": " ".join(self.references)}
        return {"to": self.sender, "by": self.sender} | answered


@dataclass(frozen=True)
class Decision:
    verb: str
    code: str
    rest: str


def sender_of(raw: bytes) -> Sender:
    """Who wrote it, by its head alone: whoever is not heard costs next to nothing."""
    with _readable():
        message, _ = opened(raw)
        return Sender(_address(message), _automatic(message))


def read(raw: bytes) -> Letter:
    """What was written; how long that takes only its length says."""
    with _readable():
        message, _ = opened(raw)
        known = _ids(message, "References") or _ids(message, "In-Reply-To")
        own = next(iter(_ids(message, "Message-ID")), "")
        chain = [*known, own or f"<{sha256(raw).hexdigest()}@no.id>"]
        ours = (found[1] for one in reversed(known) if (found := OURS.fullmatch(one)))
        subject = " ".join(_decoded(message["Subject"] or "").split())[:MOST_SUBJECT]
        return Letter(
            id=chain[-1],
            sender=_address(message),
            subject=str(storable(subject)),
            thread=next(ours, thread_of(chain[0])),
            references=tuple(dict.fromkeys([chain[0], *chain[-MOST_KEPT:]])),
            text=fresh(text_of(raw))[:MOST_TEXT],
        )


@contextmanager
def _readable() -> Iterator[None]:
    """The standard library stumbles in many ways over what is no message."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:
        why = (
            f"it can't be read ({type(error).__name__}): send the message as it came, head and all"
        )
        raise Unreadable(why) from error


def _automatic(message: Message) -> str:
    if _first(message, "Auto-Submitted") not in {"", "no"}:
        return "Auto-Submitted"
    if _first(message, "Precedence") in BULK:
        return "Precedence"
    if message.get_content_type() == "multipart/report" or _first(message, "Return-Path") == "<>":
        return "a bounce"
    if _address(message).partition("@")[0] in MACHINES:
        return "a mail server"
    return next((name for name in AUTOMATIC if message[name] is not None), "")


def _address(message: Message) -> str:
    """Who wrote it; nobody, where several are named: then it is unclear who speaks."""
    given = [str(value) for value in message.get_all("From", [])]
    if sum(map(len, given)) > MOST_FROM:
        return ""
    found = {address.lower() for _, address in getaddresses(given)}
    address = found.pop() if len(found) == 1 else ""
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


def _ids(message: Message, name: str) -> list[str]:
    return [one for value in message.get_all(name, []) for one in ID.findall(_decoded(value))]


def _decoded(value: object) -> str:
    """A field of a head, of which parts may be encoded (RFC 2047)."""
    text = str(value)
    if "=?" not in text:
        return text
    return str(policy.default.header_fetch_parse("Subject", text[:MOST_ENCODED]))


def _first(message: Message, name: str) -> str:
    return str(message[name] or "").partition(";")[0].strip().lower()
