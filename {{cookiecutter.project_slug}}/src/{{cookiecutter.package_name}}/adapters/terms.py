"""On what terms the database is spoken to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Terms:
    prepare: bool = True
    """Statements used often are prepared; an older pooler in transaction mode loses them."""
    is_pooled: bool = False
    """Behind a pooler in transaction mode a connection keeps no setting."""
    wait_seconds: float = 3
    idle_seconds: float = 600
    lifetime_seconds: float = 3600
    statement_seconds: float = 60
    slow_seconds: float = 0.5


USUAL = Terms()
