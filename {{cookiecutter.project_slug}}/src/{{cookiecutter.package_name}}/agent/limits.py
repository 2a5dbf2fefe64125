"""What a session may spend before a person has to agree to more."""

from dataclasses import dataclass
from decimal import Decimal

from .session import Session


@dataclass(frozen=True, kw_only=True)
class Limits:
    steps: int = 20
    """Model calls for one message."""
    tokens: int = 200_000
    """In and out, in all of the session."""
    cost: Decimal = Decimal("1.00")
    """US dollars, in all of the session."""
    seconds: float = 600
    """Spent in models and tools, in all of the session; waiting for people is free."""
    errors: int = 3
    """Failures in a row until a person is asked."""
    confidence: float = 0
    """An answer less sure than this is shown to a person first."""


def spent(session: Session, limits: Limits) -> str | None:
    """Which budget is used up, in words for the person who may raise it."""
    used, more = session.usage, session.more
    over = [
        f"{amount} of {most} {name}"
        for name, amount, most in (
            ("steps", Decimal(session.steps), limits.steps + more.steps),
            ("tokens", Decimal(used.tokens), limits.tokens + more.tokens),
            ("dollars", used.cost, limits.cost + more.cost),
            ("seconds", Decimal(int(session.seconds)), int(limits.seconds + more.seconds)),
        )
        if amount >= most
    ]
    return f"the budget is spent: {', '.join(over)}" if over else None
