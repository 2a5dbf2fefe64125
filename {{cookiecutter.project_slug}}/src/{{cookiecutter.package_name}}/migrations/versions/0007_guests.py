"""Who only listens to a session, and who is told no sooner than they asked for."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE recipients
            ADD COLUMN is_guest boolean NOT NULL DEFAULT false,
            ADD COLUMN not_before timestamptz;
    """)
