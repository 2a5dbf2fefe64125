"""A real mail server on the loopback that keeps what it takes, and messages as people write."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from time import time
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import MAIL, keys_for, sign

from tools.stack import free_port

AGENT, ANN, BOB, OPS = "agent@agent.test", "ann@example.com", "bob@example.org", "ops@example.com"
USER, PASSWORD = "agent", "p@ss/word"


@dataclass
class Mailbox:
    """What came, newest last; and what is answered next in place of 250."""

    came: list[EmailMessage] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    """By command: RCPT, DATA, DONE (which takes the message first)."""
    encrypted: list[bool] = field(default_factory=list)
    envelopes: list[list[str]] = field(default_factory=list)
    """Whom each message was for, whatever it says itself."""
    port: int = 0

    def to(self, address: str) -> list[EmailMessage]:
        return [message for message in list(self.came) if message["To"] == address]

    async def handle_RCPT(  # noqa: N802
        self, _: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := self._next("RCPT"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if answer := self._next("DATA"):
            return answer
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.came.append(message)
        self.encrypted.append(session.ssl is not None)
        self.envelopes.append(envelope.rcpt_tos)
        return self._next("DONE") or "250 taken"

    def _next(self, command: str) -> str:
        waiting = self.answers.get(command, [])
        return waiting.pop(0) if waiting else ""


@contextmanager
def mailbox(**given: Any) -> Iterator[Mailbox]:
    """On a port of its own; with a certificate it takes no password in the open."""
    box = Mailbox()
    box.port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **given)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def only_us(_: SMTP, session: Session, envelope: Envelope, kind: str, data: object) -> AuthResult:
    given = isinstance(data, LoginPassword) and (data.login, data.password)
    return AuthResult(success=given == (USER.encode(), PASSWORD.encode()), handled=False)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """For 127.0.0.1, signed by nobody else."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    own = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    where = ["-out", str(made), "-keyout", str(key)]
    subprocess.run([*command.split(), *own, *where], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return made, context


def written(text: str = "hello", **headers: str) -> bytes:
    """A message, from Ann to the agent unless the headers say else; `_` stands for `-`."""
    given = {
        "From": f"Ann <{ANN}>",
        "To": AGENT,
        "Subject": "Hello",
        "Message-ID": "<1@example.com>",
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    message = EmailMessage()
    for name, value in given.items():
        if value:
            message[name] = value
    message.set_content(text)
    return message.as_bytes(policy=policy.SMTP)


def reply(to: EmailMessage, text: str, *, by: str = ANN, named: str = "<2@example.com>") -> bytes:
    """As a mail program makes it: what is answered stands quoted below."""
    quoted = "\n".join(f"> {line}" for line in to.get_content().splitlines())
    return written(
        f"{text}\n\nOn Fri, 2 Jan 2026 at 03:04, Agent <{AGENT}> wrote:\n{quoted}\n",
        From=by,
        Subject=f"Re: {str(to['Subject']).removeprefix('Re: ')}",
        Message_ID=named,
        In_Reply_To=str(to["Message-ID"]),
        References=f"{to['References'] or ''} {to['Message-ID']}".strip(),
    )


def signed(body: bytes, settings: Settings, *, ago: float = 0) -> dict[str, str]:
    """The headers that the mail server puts on what it hands over."""
    return {"Webhook-Signature": sign(body, keys_for(MAIL, settings)[:1], at=time() - ago)}
