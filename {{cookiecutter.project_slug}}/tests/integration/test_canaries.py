"""What is secret is said nowhere: not in a log, an answer, an event, a metric or the terminal."""

import json
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from {{ cookiecutter.package_name }}.entrypoints.cli import cli

from ..processes import Process, eventually
from .conftest import Database
from tools.keys import KEY
from tools.stack import free_port

Start = Callable[..., Process]
CANARIES = {
    "SECRET_KEY": "canary-of-the-secret-key-long-enough",
    "SECRET_KEY_FALLBACKS": "canary-of-a-former-secret-key-long-enough",
    "OPENAI_API_KEY": "canary-of-openai",
    "ANTHROPIC_API_KEY": "canary-of-anthropic",
    "API_KEY": KEY,
}
BROKER_PASSWORD = "canary-of-the-broker"
WRONG_KEY = f"tfa_wrongkey_{'canary' * 7}x"
TABLES = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"


def stored(database: Database) -> Iterator[str]:
    for (table,) in database.execute(TABLES).fetchall():
        yield from map(str, database.execute(f"SELECT * FROM {table}".encode()).fetchall())


@pytest.mark.factor("III", "XI")
def test_no_secret_is_said_anywhere_whatever_fails(
    start: Start,
    database_url: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    faulty = CANARIES | {
        "BROKER_URL": f"redis://:{BROKER_PASSWORD}@127.0.0.1:{free_port()}/0",
        "MODEL": "openai:m",
        "MODEL_FALLBACKS": "anthropic:m",
        "MODEL_TIMEOUT": "1",
        "OPENAI_BASE_URL": away,
        "LOG_LEVEL": "DEBUG",
    }
    whole = {**faulty, "BROKER_URL": "pgmq:", "DEFAULT_AGENT": "echo"}
    processes = [start("serve", **faulty).healthy(), start("serve", **whole).healthy()]
    processes += [start("work", **whole).healthy(), start("schedule", **faulty).healthy()]
    answers = []
    for web in processes[:2]:
        session = f"/chat/sessions/{web.post('/chat/sessions').json()['session_id']}"
        answers += [
            web.post(f"{session}/messages", {"text": "hello"}, prefer="respond-async"),
            web.post(f"{session}/messages", {"texts": "hello"}),
            web.post("/chat/sessions", authorization=f"Bearer {WRONG_KEY}"),
            *map(web.get, (session, f"{session}/events", "/ready", "/metrics", "/nowhere")),
        ]
    failed = "SELECT count(*) FROM events WHERE data->>'kind' = 'model_failed'"
    eventually(lambda: database.execute(failed).fetchone() != (0,), "a model has failed")
    processes[3].logged("scheduler waits for a backing service")
    for name, value in {**faulty, "DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    told = [CliRunner().invoke(cli, command) for command in (["config", "show"], ["doctor"])]
    said = [
        *(process.output for process in processes),
        *(answer.text + str(answer.headers) for answer in answers),
        *(process.get("/metrics").text for process in processes),
        *(f"{result.output} {result.exception}" for result in told),
        *stored(database),
    ]
    password = urlsplit(database_url).password or ""
    assert len(password) > 8
    assert any("hello" in text for text in said)
    for canary in (*CANARIES.values(), BROKER_PASSWORD, WRONG_KEY, password):
        where = [text for text in said if canary in text or json.dumps(canary)[1:-1] in text]
        assert not where, (canary, where[0][-2000:])
