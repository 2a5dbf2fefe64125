"""The queue, the sessions with their events and effects, the processes and the periodic jobs."""

from alembic import op
from pgmq.install import get_embedded_install_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(get_embedded_install_sql())
    op.execute("""
        CREATE TABLE sessions (
            id uuid PRIMARY KEY,
            owner text NOT NULL DEFAULT 'default',
            key_id bigint,
            agent text NOT NULL,
            prompt text NOT NULL,
            title text NOT NULL DEFAULT '',
            metadata jsonb NOT NULL DEFAULT '{}',
            parent uuid,
            lane text NOT NULL DEFAULT 'default',
            schema smallint NOT NULL,
            status text NOT NULL,
            seq integer NOT NULL,
            base integer NOT NULL DEFAULT 0,
            lease_owner bigint,
            attempts smallint NOT NULL DEFAULT 0,
            dispatched_at timestamptz NOT NULL DEFAULT now(),
            dispatches smallint NOT NULL DEFAULT 0,
            wake_at timestamptz,
            tokens bigint NOT NULL DEFAULT 0,
            cost numeric NOT NULL DEFAULT 0,
            day date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
            day_tokens bigint NOT NULL DEFAULT 0,
            day_cost numeric NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 70);
        CREATE INDEX sessions_ready ON sessions (dispatched_at) WHERE status = 'ready';
        CREATE INDEX sessions_waiting ON sessions (wake_at) WHERE status = 'waiting';
        CREATE INDEX sessions_newest ON sessions (created_at DESC, id DESC);
        CREATE INDEX sessions_by_status ON sessions (status, created_at DESC, id DESC);
        CREATE INDEX sessions_by_agent ON sessions (agent, created_at DESC, id DESC);
        CREATE INDEX sessions_by_parent ON sessions (parent) WHERE parent IS NOT NULL;
        CREATE INDEX sessions_of_owner ON sessions (owner, created_at DESC, id DESC);
        CREATE INDEX sessions_of_owner_by_status
            ON sessions (owner, status, created_at DESC, id DESC);
        CREATE INDEX sessions_of_key ON sessions (key_id, day);

        CREATE TABLE events (
            session_id uuid NOT NULL,
            seq integer NOT NULL,
            version smallint NOT NULL,
            key text,
            data jsonb NOT NULL,
            PRIMARY KEY (session_id, seq)
        );
        CREATE UNIQUE INDEX events_key ON events (session_id, key) WHERE key IS NOT NULL;

        CREATE TABLE effects (
            key text PRIMARY KEY,
            session_id uuid NOT NULL,
            request jsonb NOT NULL,
            result jsonb,
            at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX effects_session ON effects (session_id);

        CREATE TABLE processes (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            kind text NOT NULL,
            name text NOT NULL,
            release text NOT NULL,
            lane text NOT NULL,
            lease_until timestamptz NOT NULL,
            started_at timestamptz NOT NULL DEFAULT now()
        );

        CREATE TABLE jobs (
            name text PRIMARY KEY,
            last_run timestamptz NOT NULL DEFAULT now()
        );
    """)
