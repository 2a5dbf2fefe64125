"""Who is told of a session outside, up to which event, and what could not be told."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE recipients (
            session_id uuid NOT NULL,
            channel text NOT NULL,
            place text NOT NULL,
            thread text NOT NULL,
            details jsonb NOT NULL DEFAULT '{}',
            is_origin boolean NOT NULL,
            told integer NOT NULL DEFAULT 0,
            tries smallint NOT NULL DEFAULT 0,
            is_open boolean NOT NULL DEFAULT true,
            due_at timestamptz NOT NULL DEFAULT now(),
            dispatches smallint NOT NULL DEFAULT 0,
            lease_owner bigint,
            leased_at timestamptz,
            since timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (session_id, channel, place)
        );
        CREATE INDEX recipients_open ON recipients (due_at) WHERE is_open;
        CREATE INDEX recipients_thread ON recipients (channel, thread, since) WHERE is_origin;

        CREATE TABLE dead_letters (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            session_id uuid NOT NULL,
            channel text NOT NULL,
            place text NOT NULL,
            seq integer NOT NULL,
            kind text NOT NULL,
            reason text NOT NULL,
            is_wanted boolean NOT NULL DEFAULT false,
            died_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (session_id, channel, place, seq)
        );
    """)
