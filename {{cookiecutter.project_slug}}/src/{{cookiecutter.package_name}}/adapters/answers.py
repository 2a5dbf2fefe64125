"""What all models have in common: how a try fails, and what an uncounted answer took."""

from ..agent.events import Usage
from ..agent.ports import Replied, Request
from ..errors import ModelError


class Failure(ModelError):
    """A try came to nothing. One that is passing may be repeated, but not before `retry_after`."""

    def __init__(
        self, reason: str, *, is_passing: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.is_passing = is_passing


def estimated(request: Request, reply: Replied) -> Usage:
    """What the answer takes by our own count, for whoever counts nothing."""
    return Usage(input_tokens=request.tokens, output_tokens=Request("", (reply,)).tokens)
