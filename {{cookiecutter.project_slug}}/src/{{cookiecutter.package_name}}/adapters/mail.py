"""Notices by SMTP. A second try has the same Message-ID, by which mailboxes tell it is the same."""

import asyncio
import json
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from email import policy
from email.message import EmailMessage
from email.policy import Policy
from email.utils import formataddr, formatdate
from typing import Self
from urllib.parse import unquote, urlsplit

from ..about import about
from ..channels import Address, Notice, Undeliverable, visible
from ..errors import Unavailable
from .letters import ADDRESS, ID, MARK, id_of, thread_of

SECONDS = 20.0
PERMANENT = 500
PORTS = {"smtp": 25, "smtps": 465}
HERE = {"localhost", "127.0.0.1", "::1"}
TO_DECIDE = {
    "question": "To answer by mail, begin your reply with this line, and go on as you like:",
    "approval": "To decide by mail, begin your reply with one of these lines:",
}
SUBJECTS = {"question": "A question", "approval": "Approval wanted", "trouble": "Trouble"}


@dataclass(kw_only=True)
class Mail:
    url: str
    author: str
    name: str = "mail"

    async def deliver(self, notice: Notice) -> Address | None:
        address = _placed(notice, self.author)
        message = compose(replace(notice, address=address), self.author)
        await asyncio.to_thread(self.send, message)
        return None if address == notice.address else address

    async def close(self) -> None:
        """Each message has a connection of its own."""

    def send(self, message: EmailMessage) -> None:
        """Whom it is addressed to has to be taken; who only has a copy may be gone."""
        to, copies = str(message["To"]), message.get_all("Cc", [])
        try:
            with self._server() as server:
                given = [to, *map(str, copies)]
                refused = server.send_message(message, from_addr=self.author, to_addrs=given)
            if to in refused:
                raise _fault(*refused[to])
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()), (0, b""))
            raise _fault(code, said) from None
        except smtplib.SMTPDataError as error:
            raise _fault(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable("the mail server does not take it", reason=_why(error)) from None

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        """Signed in, and encrypted where the server can: always, before a password is sent."""
        url, context = urlsplit(self.url), ssl.create_default_context()
        host, port = url.hostname or "", url.port or PORTS[url.scheme]
        if url.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=SECONDS)
        try:
            server.ehlo_or_helo_if_needed()
            if url.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=context)
            elif url.scheme == "smtp" and url.username and host not in HERE:
                raise smtplib.SMTPNotSupportedError("no STARTTLS: no password is sent in the open")
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            yield server
            with suppress(smtplib.SMTPException, OSError):  # it is taken, whatever comes now
                server.quit()
        finally:
            server.close()


class Ids(str):
    """A field of Message-IDs, whole: the library encodes a long one, and nobody knows it again."""

    name: str

    def __new__(cls, name: str, ids: Sequence[str]) -> Self:
        made = super().__new__(cls, " ".join(ids))
        made.name = name
        return made

    def fold(self, *, policy: Policy) -> str:
        """A line for each, as the library asks a field for them."""
        return f"{self.name}: {f'{policy.linesep} '.join(self.split())}{policy.linesep}"


def compose(notice: Notice, author: str) -> EmailMessage:
    details = notice.address.details
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"] = formataddr((about().name, author)), str(details["to"])
    if copy := _copied(notice):
        message["Cc"] = copy
    message["Subject"] = _subject(notice)
    message["Date"] = formatdate()
    message["Message-ID"] = id_of(notice.key, notice.address.thread, author)
    if references := ID.findall(str(details.get("references", ""))):
        message["In-Reply-To"] = Ids("In-Reply-To", references[-1:])
        message["References"] = Ids("References", references)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(_body(notice), cte="quoted-printable")
    return message


def _placed(notice: Notice, author: str) -> Address:
    """Where an answer to it belongs. A recipient from the settings is given a thread here."""
    address = notice.address
    if address.details.get("to"):
        return address
    if not ADDRESS.fullmatch(address.thread):
        raise Undeliverable(f"{address.thread!r} is no address of a mailbox")
    thread = thread_of(f"{notice.session_id} {address.thread}")
    details = {"to": address.thread, "subject": _first_subject(notice)}
    details["references"] = id_of("session", thread, author)
    return Address(address.channel, thread, details)


def _copied(notice: Notice) -> str:
    """Who wrote last hears as well, but of a request only whoever it is for."""
    to, by = (str(notice.address.details.get(name, "")) for name in ("to", "by"))
    return by if by != to and notice.request is None else ""


def _first_subject(notice: Notice) -> str:
    what = f": {notice.request.tool}" if notice.request else ""
    return f"{about().name}: {SUBJECTS.get(notice.kind, 'News')}{what}"


def _subject(notice: Notice) -> str:
    """The conversation's own, by which mail programs keep it together."""
    subject = " ".join(str(notice.address.details.get("subject", "")).split())
    subject = subject or _first_subject(notice)
    is_first = subject.startswith(f"{about().name}: ") or subject.lower().startswith("re:")
    return subject if is_first else f"Re: {subject}"


def _body(notice: Notice) -> str:
    parts = [notice.text]
    if notice.request:
        arguments = json.dumps(notice.request.arguments, indent=2, ensure_ascii=False)
        parts = [visible(notice.text), visible(f"{notice.request.tool} {arguments}")]
    parts.append(MARK)
    if notice.link:
        parts.append(f"The page of it: {notice.link}")
    if notice.code and notice.kind in TO_DECIDE:
        parts += [TO_DECIDE[notice.kind], *_lines(notice)]
    return "\n\n".join(parts) + "\n"


def _lines(notice: Notice) -> list[str]:
    refusal = f"    refuse {notice.code}"
    if notice.kind == "question":
        return [f"    answer {notice.code}", refusal]
    return [f"    approve {notice.code}", f"{refusal} because of …"]


def _fault(code: int, said: bytes | str) -> Unavailable | Undeliverable:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    if code >= PERMANENT:
        return Undeliverable(f"the mail server refuses it for good: {code} {text}"[:500])
    return Unavailable("the mail server does not take it now", reason=f"{code} {text}"[:500])


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
