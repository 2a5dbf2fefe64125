"""Factor III: everything that a deploy may change is a variable, and nothing else is asked."""

import ast
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from time import time
from typing import get_args

import httpx2
import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import secrets_of, sign

from ..conftest import SECRET
from ..processes import Process
from .test_code import SOURCES, in_source

Start = Callable[..., Process]
OLD, NEW = "the secret of yesterday and long enough", "the secret of tomorrow and long enough"
OTHERS = {
    "database_url": "postgresql://other@db/other",
    "database_direct_url": "postgresql://direct@db/other",
    "broker_url": "amqp://broker",
    "cache_url": "redis://cache",
    "lane": "blue",
    "prompt_version": "v7",
    "openai_base_url": "http://models:8000/v1",
    "outbound_allow": "wiki.internal:443",
    "otel_exporter_otlp_endpoint": "http://collector:4318",
    "otel_exporter_otlp_traces_endpoint": "http://collector:4318/v1/traces",
    "sentry_dsn": "https://key@sentry/1",
    "cors_origins": "https://console.example",
    "slack_api_url": "https://slack.example/api",
    "smtp_url": "smtps://mail.example",
    "mail_from": "agent@example.com",
    "mail_senders": "@example.org",
    "public_url": "https://agent.example",
    "approvals_to": "slack:C0123",
    "schedules": "0 7 * * * | mail:ops@example.com | hello",
    "secret_key": NEW,
    "secret_key_fallbacks": OLD,
}
"""Of the settings that are more than a number or a word."""
TOGETHER = {
    "slack_bot_token": "slack_signing_secret",
    "slack_signing_secret": "slack_bot_token",
    "smtp_url": "mail_from",
}
"""One is of no use without the other."""
BODY = b'{"text": "hello"}'
PARSERS = ("configparser", "dotenv", "load_dotenv", "tomllib", "toml", "yaml", "BaseSettings")


def another(name: str, value: object) -> str:
    """As the environment would say it: anything but this value."""
    field = Settings.model_fields[name]
    match value:
        case _ if name in OTHERS:
            return OTHERS[name]
        case bool():
            return str(not value)
        case int() | float() | Decimal():
            return str(value + 1)
        case _ if choices := get_args(field.annotation):
            return next((str(c) for c in choices if isinstance(c, str) and c != value), "1")
    return "another"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    return monkeypatch


@pytest.mark.factor("III")
def test_every_setting_is_the_variable_of_its_name(environment: pytest.MonkeyPatch) -> None:
    before = Settings.load()
    for name, value in before:
        environment.setenv(name.upper(), another(name, value))
    after = Settings.load()
    assert not [name for name, value in before if getattr(after, name) == value]


@pytest.mark.factor("III")
def test_every_secret_may_be_a_file_that_is_mounted(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = [name for name, field in Settings.model_fields.items() if of_secret(field)]
    assert {"secret_key", "database_url", "broker_url", "openai_api_key"} <= set(secrets)
    for name in secrets:
        (tmp_path / name).write_text(f"{another(name, None)}\n")
        with environment.context() as alone:
            alone.delenv(name.upper(), raising=False)
            alone.setenv(f"{name.upper()}_FILE", str(tmp_path / name))
            if other := TOGETHER.get(name):
                alone.setenv(other.upper(), another(other, None))
            assert getattr(Settings.load(), name).get_secret_value() == another(name, None)


def of_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


@pytest.mark.factor("III")
def test_there_is_one_settings_object_and_entry_points_alone_load_it() -> None:
    assert not in_source(*PARSERS, but={"settings.py"})
    assert not [f"{f}:{line}" for f in SOURCES if "entrypoints" not in f.parts for line in loads(f)]
    assert len([line for f in SOURCES for line in loads(f)]) > 3


def loads(file: Path) -> Iterator[int]:
    """Where settings are made: a test of a part hands it its own."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Attribute(value=ast.Name("Settings"), attr="load"):
                yield node.lineno
            case ast.Call(func=ast.Name("Settings")):
                yield node.lineno


@pytest.mark.factor("III")
def test_the_environment_comes_before_the_file_of_a_laptop(start: Start, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RELEASE=of-the-file\nLANE=blue\n")
    (tmp_path / "settings.toml").write_text('lane = "red"\n')
    process = start("config", "show", "--json", RELEASE="of-the-environment")
    assert process.ended() == 0, process.output
    values = json.loads(process.output)
    assert (values["RELEASE"], values["LANE"]) == ("of-the-environment", "blue")


@pytest.mark.factor("III")
def test_a_secret_is_changed_by_a_rolling_restart_and_nothing_signed_is_lost(
    start: Start, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(OLD)
    new.write_text(f"{NEW}\n")
    with_old, with_new = (signed(environment, secret) for secret in (OLD, NEW))
    key: dict[str, str] = {"SECRET_KEY": "", "WEBHOOKS": "ops"}
    first = start("serve", **key, SECRET_KEY_FILE=str(old)).healthy()
    both = {"SECRET_KEY_FILE": str(new), "SECRET_KEY_FALLBACKS_FILE": str(old)}
    second = start("serve", **key, **both).healthy()
    last = start("serve", **key, SECRET_KEY_FILE=str(new)).healthy()
    told = [
        [told_by(web, given) for given in (with_old, with_new)] for web in (first, second, last)
    ]
    assert told == [[202, 401], [202, 202], [401, 202]]
    old.write_text("x")  # nobody looks again
    assert told_by(first, with_old) == 202


def signed(environment: pytest.MonkeyPatch, secret: str) -> str:
    environment.setenv("SECRET_KEY", secret)
    environment.setenv("WEBHOOKS", "ops")
    return sign(BODY, secrets_of("ops", Settings.load()), at=time())


def told_by(web: Process, signature: str) -> int:
    url, headers = f"{web.url}/hooks/ops", {"Webhook-Signature": signature}
    return httpx2.post(url, content=BODY, headers=headers, verify=False).status_code
