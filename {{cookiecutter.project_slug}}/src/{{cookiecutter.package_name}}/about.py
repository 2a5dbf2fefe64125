"""What this service is called, everywhere it says its name."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib import metadata
from importlib.resources import files


@dataclass(frozen=True)
class About:
    name: str
    slug: str
    description: str

    @cached_property
    def version(self) -> str:
        return metadata.version(self.slug)

    def health(self) -> dict[str, str]:
        """What /health answers in every process that is alive."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"status": "healthy", "version": self.version, "timestamp": now}


@cache
def about() -> About:
    return About(**json.loads(files(__package__).joinpath("about.json").read_text("utf-8")))
