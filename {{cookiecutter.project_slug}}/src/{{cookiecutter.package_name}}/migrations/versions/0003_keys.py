"""API keys, what they have spent in a day, and how many requests of the minute each has left."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE api_keys (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL UNIQUE,
            owner text NOT NULL,
            scopes text[] NOT NULL,
            prefix text NOT NULL UNIQUE,
            hash bytea NOT NULL,
            old_prefix text UNIQUE,
            old_hash bytea,
            old_until timestamptz,
            allowance jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_at timestamptz
        );
        CREATE TABLE spendings (
            key_id bigint NOT NULL,
            day date NOT NULL,
            tokens bigint NOT NULL,
            cost numeric NOT NULL,
            PRIMARY KEY (key_id, day)
        );
        CREATE UNLOGGED TABLE requests (
            key_id bigint PRIMARY KEY,
            remaining double precision NOT NULL,
            granted double precision NOT NULL,
            at timestamptz NOT NULL
        );
    """)
