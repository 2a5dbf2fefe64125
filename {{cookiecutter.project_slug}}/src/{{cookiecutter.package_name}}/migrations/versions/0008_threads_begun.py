"""The session of a thread that a request has begun is found at once."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("""
        -- It can't be built concurrently where a restore does all or nothing. Few rows are in it:
        -- a million recipients take a second, in which they are read and what changes them waits.
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX recipients_begun ON recipients (channel, thread, since)
            WHERE NOT is_origin AND thread <> place;
    """)
