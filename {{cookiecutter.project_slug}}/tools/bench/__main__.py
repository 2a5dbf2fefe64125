"""`python -m tools.bench [NAME …]`: all figures, or those named; 1 where a bound is not shown."""

import sys
import traceback
from collections.abc import Callable, Iterator

from . import claims, http, length, million, slack, steps, stopping, streaming, telemetry, waiting
from .figures import Figure, table
from .rig import Rig, rig

MEASURES: dict[str, Callable[[Rig], Iterator[Figure]]] = {
    "steps": steps.measure,
    "claims": claims.measure,
    "waiting": waiting.measure,
    "stopping": stopping.measure,
    "length": length.measure,
    "http": http.measure,
    "streaming": streaming.measure,
    "million": million.measure,
    "telemetry": telemetry.measure,
    "slack": slack.measure,
}


def main() -> int:
    names = sys.argv[1:] or list(MEASURES)
    if unknown := [name for name in names if name not in MEASURES]:
        sys.exit(f"there is no {', '.join(unknown)} to measure: only {', '.join(MEASURES)}")
    figures = list[Figure]()
    with rig() as ours:
        for name in names:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            figures += measured(name, ours)
    print(table(figures))
    return any(figure.is_over for figure in figures)


def measured(name: str, ours: Rig) -> Iterator[Figure]:
    """What was measured before something broke counts, and so does that it broke."""
    try:
        yield from MEASURES[name](ours)
    except (Exception, SystemExit) as error:  # the others are still worth their time
        traceback.print_exc()
        yield Figure(name=name, instead=f"broke off: {error}")


if __name__ == "__main__":
    sys.exit(main())
