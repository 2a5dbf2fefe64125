"""Sessions that begin by the clock, as SCHEDULES lists them.

    0 7 * * 1-5 | slack:C0123 | What went out yesterday?; */5 * * * * | | Is all well?

The answer goes where the second part says; where that is empty, it stays in the session.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid5

BEGUN = UUID("4f1f3a0d-51f0-4a53-8f9e-3f1c5e1b7a66")
LEAP_YEAR = 2028
DAYS, WEEKDAYS = 31, 7
RANGES = ((0, 59), (0, 23), (1, DAYS), (1, 12), (0, WEEKDAYS - 1))
PART = re.compile(r"(\*|\d{1,2}(-\d{1,2})?)(/\d{1,2})?")
TO = re.compile(r"([a-z]+:\S+)?")
FORM = "CRON | WHERE THE ANSWER GOES | TEXT"


@dataclass(frozen=True)
class Schedule:
    cron: str
    to: str
    text: str

    @property
    def name(self) -> str:
        """Another one as soon as anything of it is."""
        whole = f"{self.cron}|{self.to}|{self.text}"
        return f"schedule.{sha256(whole.encode()).hexdigest()[:16]}"

    def session_at(self, due: datetime) -> str:
        """The id of the session of that time, whichever process begins it."""
        return str(uuid5(BEGUN, f"{self.name} {due.isoformat()}"))


def read_schedules(text: str) -> list[Schedule]:
    """A ValueError that names the first that is none."""
    return [_read(line.strip()) for line in re.split(r"[;\n]", text) if line.strip()]


def _read(line: str) -> Schedule:
    parts = [part.strip() for part in line.split("|", 2)]
    if len(parts) < FORM.count("|") + 1 or not parts[2]:
        raise ValueError(f"{line!r} is no {FORM}")
    cron, to, said = parts
    fields = cron.split()
    if len(fields) != len(RANGES) or not all(named := list(map(_named, fields, RANGES))):
        raise ValueError(f"{cron!r} is no minute, hour, day, month and weekday, as in 0 7 * * 1-5")
    _check_days(cron, *named[2:])
    if not TO.fullmatch(to):
        raise ValueError(f"{to!r} is no place, as in slack:C0123 or mail:ops@example.com")
    return Schedule(" ".join(fields), to, said)


def _named(field: str, range_: tuple[int, int]) -> set[int]:
    """The numbers that it means; none where anything of it is out of range."""
    low, high = range_
    found: set[int] = set()
    for part in field.split(","):
        if not PART.fullmatch(part):
            return set()
        span, _, step = part.partition("/")
        numbers = list(range_) if span == "*" else [int(number) for number in span.split("-")]
        if numbers != sorted(numbers) or not all(low <= number <= high for number in numbers):
            return set()
        if step and not 1 <= int(step) <= high:
            return set()
        found |= set(range(numbers[0], numbers[-1] + 1, int(step or 1)))
    return found


def _check_days(cron: str, days: set[int], months: set[int], weekdays: set[int]) -> None:
    if min(days) > max(monthrange(LEAP_YEAR, month)[1] for month in months):
        raise ValueError(f"{cron!r} is never due: no month that it names has such a day")
    if len(days) < DAYS and len(weekdays) < WEEKDAYS:
        what = "names days and weekdays, and cron and others differ on what both mean"
        raise ValueError(f"{cron!r} {what}: leave one at *, or make two schedules of it")
