"""The queue, the checks and the periodic jobs."""

from alembic import op
from pgmq.install import get_embedded_install_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(get_embedded_install_sql())
    op.execute("""
        CREATE TABLE checks (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            asked_at timestamptz NOT NULL DEFAULT now(),
            answered_at timestamptz,
            answered_by text,
            attempts smallint NOT NULL DEFAULT 0,
            queue_again_at timestamptz NOT NULL DEFAULT now() + interval '5 seconds'
        );
        CREATE INDEX checks_unanswered ON checks (queue_again_at) WHERE answered_at IS NULL;
        CREATE INDEX checks_asked_at ON checks (asked_at);
        CREATE TABLE jobs (
            name text PRIMARY KEY,
            last_run timestamptz NOT NULL DEFAULT now()
        );
    """)
