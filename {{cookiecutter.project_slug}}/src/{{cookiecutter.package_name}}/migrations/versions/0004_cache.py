"""The cache, which a crash may empty."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        CREATE UNLOGGED TABLE cache (
            key text PRIMARY KEY,
            value bytea NOT NULL,
            expires_at timestamptz NOT NULL
        );
        CREATE INDEX cache_expiry ON cache (expires_at);
    """)
