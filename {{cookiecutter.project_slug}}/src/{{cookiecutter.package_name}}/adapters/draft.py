"""An answer as it comes from a provider, piece by piece."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from ..agent.events import Usage, as_json
from ..agent.ports import Replied, Wanted

NOTHING = Usage()


@dataclass
class PartialCall:
    id: str
    tool: str = ""
    arguments: str = ""


@dataclass
class Draft:
    """What has come so far. Each piece of text is passed on at once."""

    on_text: Callable[[str], None]
    texts: list[str] = field(default_factory=list)
    calls: list[PartialCall] = field(default_factory=list)
    stop: str | None = None
    """Why it ended, in the provider's word. Without one it has not: it broke off."""
    counted: dict[str, Any] = field(default_factory=dict)
    usage: Usage = NOTHING
    written: int = 0
    """So many of its tokens were put into the provider's cache, which costs more."""
    _open: dict[object, PartialCall] = field(default_factory=dict)

    def say(self, piece: object) -> None:
        if isinstance(piece, str) and piece:
            self.texts.append(piece)
            self.on_text(piece)

    def call(self, index: object, *, id_: str = "", tool: str = "", arguments: object = "") -> None:
        """A piece of the call there. Some servers count none, or count each as the first."""
        known = self._open.get(index)
        if known is None or (id_ and known.id and id_ != known.id):
            known = self._open[index] = PartialCall(id_)
            self.calls.append(known)
        known.id, known.tool = known.id or id_, known.tool or tool
        known.arguments += as_json(arguments)

    @property
    def reply(self) -> Replied:
        calls = (Wanted(call.tool, _object(call.arguments), call.id) for call in self.calls)
        return Replied("".join(self.texts), tuple(calls))


def _object(arguments: str) -> dict[str, Any] | str:
    """An object; or the text as it came, where that is none."""
    try:
        parsed = from_json(arguments or "{}")
    except ValueError:
        return arguments
    return parsed if isinstance(parsed, dict) else arguments
