"""How long a client wants to wait: the Prefer header (RFC 7240)."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

DEFAULT_SECONDS = 30
MOST_SECONDS = 120
DIGITS = 9  # more of them are more seconds than anybody waits
DESCRIPTION = f"`wait=N` seconds ({DEFAULT_SECONDS}; at most {MOST_SECONDS}), or `respond-async`"


@dataclass(frozen=True)
class Preference:
    seconds: int = DEFAULT_SECONDS
    applied: str = ""
    """What to answer as Preference-Applied."""
    at_once: bool = False


def parse(header: str) -> Preference:
    """What can't be understood is passed over, as the standard wants."""
    wanted: dict[str, str] = {}
    for part in header.split(","):
        name, _, value = part.partition(";")[0].partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    if (wait := wanted.get("wait", "")).isdecimal():
        seconds = min(int(wait[:DIGITS]), MOST_SECONDS)
        return Preference(seconds, applied=f"wait={seconds}")
    if "respond-async" in wanted:
        return Preference(0, applied="respond-async", at_once=True)
    return Preference()


async def _preference(
    prefer: Annotated[list[str] | None, Header(description=DESCRIPTION)] = None,
) -> Preference:
    return parse(",".join(prefer or []))


PreferDep = Annotated[Preference, Depends(_preference)]
