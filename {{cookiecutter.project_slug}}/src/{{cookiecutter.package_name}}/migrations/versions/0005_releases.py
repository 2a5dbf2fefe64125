"""What was deployed: image and configuration, when it was committed, and the key of its line."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE deployments
            ADD COLUMN image text NOT NULL DEFAULT '',
            ADD COLUMN config text NOT NULL DEFAULT '',
            ADD COLUMN committed_at timestamptz,
            ADD COLUMN key text;
        -- It can't be built concurrently where a restore does all or nothing. The column is new, so
        -- the index is empty, and a ledger of thousands of lines is read in a few milliseconds:
        -- squawk-ignore require-concurrent-index-creation
        CREATE UNIQUE INDEX deployments_key ON deployments (key) WHERE key IS NOT NULL;
    """)
