"""The settings, and what is generated from them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from {{ cookiecutter.package_name }}.configuration import env_example, markdown, shown
from {{ cookiecutter.package_name }}.errors import ConfigError
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET

OLD = "an-old-secret-without-a-comma-in-it"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db.example/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    return monkeypatch


@pytest.mark.factor("III")
def test_every_fault_is_named_at_once_with_its_variable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "eighty")
    environment.setenv("LOG_FORMAT", "xml")
    environment.delenv("SECRET_KEY")
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    named = [fault.partition(" ")[0] for fault in caught.value.faults]
    assert named == ["PORT=eighty", "LOG_FORMAT=xml", "SECRET_KEY"]


@pytest.mark.factor("III")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://app:hunter2@db/app"),
        ("DATABASE_URL", "postgresql:///app"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "postgresql://app:hunter2%zz@db/app"),
        ("DATABASE_URL", "postgresql://app:hunter2 x@db/app"),
        ("DATABASE_URL", "postgresql://app:hunter2%00@db/app"),
        ("DATABASE_URL", "EMBEDDED:hunter2"),
        *(("DATABASE_URL", f"postgresql://app:x{sign}hunter2@db/app") for sign in "@/?#"),
        *(("DATABASE_URL", f"postgresql://app:1{sign}hunter2@db/app") for sign in "@/?#"),
        ("DATABASE_URL", "postgresql://app:x[hunter2]@db/app/@"),
        ("DATABASE_URL", "postgresql://app:[hunter2]x"),
        ("DATABASE_URL", "postgresql://app:hunter2"),
        ("BROKER_URL", "redis://:x/hunter2@broker:6379/0"),
        ("BROKER_URL", "pgmq://app:x/hunter2@db/app"),
        ("BROKER_URL", "kafka://:hunter2@broker"),
        ("CACHE_URL", "memcached://:hunter2@cache"),
        ("SECRET_KEY", "hunter2"),
    ],
)
def test_a_faulty_secret_is_named_but_not_shown(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    assert str(caught.value).startswith(name)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.factor("III")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SECRET_KEY", f"hunter2:{SECRET}", "***"),
        ("DATABASE_URL", "postgresql://h/db?password=hunter2", "postgresql://h/db?***"),
        ("DATABASE_URL", "postgresql://u:hunter2@h1,h2/db", "postgresql://u:***@h1,h2/db"),
        (
            "DATABASE_URL",
            "postgresql://u@h/db?sslmode=require",
            "postgresql://u@h/db?sslmode=require",
        ),
        ("BROKER_URL", "redis://:hunter2@h:1/0", "redis://:***@h:1/0"),
        ("BROKER_URL", "", "pgmq:"),
        ("BROKER_URL", "pgmq://u:hunter2@h/db", "pgmq://u:***@h/db"),
        ("BROKER_URL", "amqp://u:hunter2@[::1]:5672//", "amqp://u:***@[::1]:5672//"),
        (
            "DATABASE_URL",
            "postgresql://u:a:hunter2@h1:1,[::1]:2/db",
            "postgresql://u:***@h1:1,[::1]:2/db",
        ),
        ("OPENAI_BASE_URL", "https://u:hunter2@h/v1", "https://u:***@h/v1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:hunter2@c:4318", "http://u:***@c:4318"),
        ("CACHE_URL", "rediss://:hunter2@h:1/0", "rediss://:***@h:1/0"),
        ("DATABASE_PREPARE", "off", "false"),
        ("DATABASE_DIRECT_URL", "", ""),
    ],
)
def test_no_form_of_a_secret_is_shown(
    environment: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    environment.setenv(name, value)
    values = shown(Settings.load())
    assert values[name] == said
    assert "hunter2" not in str(values)


def test_an_env_file_that_is_no_text_is_one_line(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "odd").write_bytes(b"PORT=\xff\xfe")
    environment.setitem(Settings.model_config, "env_file", tmp_path / "odd")
    with pytest.raises(ConfigError, match="UTF-8"):
        Settings.load()


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_an_env_file_that_is_no_file_is_one_line(
    environment: pytest.MonkeyPatch, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "odd")
    environment.setitem(Settings.model_config, "env_file", tmp_path / "odd")
    with pytest.raises(ConfigError, match="odd is there and is no file"):
        Settings.load()


def test_a_label_is_one_line(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RELEASE", "v1\nlevel=ERROR")
    with pytest.raises(ConfigError, match="RELEASE"):
        Settings.load()


def test_an_empty_variable_is_as_good_as_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "")
    assert Settings.load().port == 8000


@pytest.mark.factor("III")
def test_settings_are_frozen(environment: pytest.MonkeyPatch) -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_locks_and_migrations_go_past_the_pooler_where_there_is_one(
    environment: pytest.MonkeyPatch,
) -> None:
    assert Settings.load().direct_url == Settings.load().database_url
    environment.setenv("DATABASE_DIRECT_URL", "postgresql://direct.example/app")
    assert Settings.load().direct_url.get_secret_value() == "postgresql://direct.example/app"


def test_the_example_with_secrets_is_a_complete_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for line in env_example(with_secrets=True).splitlines():
        if line and not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    assert Settings.load().database_url.get_secret_value() == "embedded:"


def test_two_examples_never_share_a_secret() -> None:
    assert env_example(with_secrets=True) != env_example(with_secrets=True)


@pytest.mark.factor("III")
def test_example_and_page_name_every_setting_and_its_meaning() -> None:
    for name, field in Settings.model_fields.items():
        for text in (env_example(), markdown()):
            assert name.upper() in text
            assert str(field.description) in text


@pytest.mark.factor("III")
def test_a_secret_may_be_a_file_and_no_other_setting(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted = tmp_path / "secret"
    mounted.write_text(f"{SECRET[::-1]}\n")
    environment.delenv("SECRET_KEY")
    environment.setenv("SECRET_KEY_FILE", str(mounted))
    environment.setenv("LOG_LEVEL_FILE", str(mounted))
    settings = Settings.load()
    assert settings.secret_key.get_secret_value() == SECRET[::-1]
    assert settings.log_level == "INFO"


def test_an_empty_file_is_as_good_as_none(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounted = tmp_path / "secret"
    mounted.write_text("\n")
    environment.setenv("SENTRY_DSN_FILE", str(mounted))
    assert Settings.load().sentry_dsn is None
    environment.delenv("SECRET_KEY")
    environment.setenv("SECRET_KEY_FILE", str(mounted))
    with pytest.raises(ConfigError, match="SECRET_KEY is not set"):
        Settings.load()


@pytest.mark.factor("III")
def test_what_is_wrong_with_a_mounted_secret_is_named_with_all_other_faults(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    short = tmp_path / "secret"
    short.write_text("hunter2")
    environment.setenv("SECRET_KEY_FILE", str(short))
    environment.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "nowhere"))
    environment.setenv("PORT", "eighty")
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    said = str(caught.value)
    assert "hunter2" not in said
    assert "SECRET_KEY and SECRET_KEY_FILE are both set: take one of them away" in said
    assert f"OPENAI_API_KEY_FILE={tmp_path / 'nowhere'} can't be read" in said
    assert "SECRET_KEY is not usable: it has 7 characters" in said
    assert "PORT=eighty" in said


def test_former_secret_keys_have_to_be_as_long(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SECRET_KEY_FALLBACKS", f"{OLD}, hunter2")
    with pytest.raises(ConfigError, match="SECRET_KEY_FALLBACKS is not usable: it has 7") as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)
    environment.setenv("SECRET_KEY_FALLBACKS", f"{OLD}, {OLD[::-1]}")
    assert Settings.load().secret_key_fallbacks


@pytest.mark.parametrize("origins", ["*", "https://a.example/x", "app.example", "https://a,b"])
def test_an_origin_is_a_scheme_and_a_host(environment: pytest.MonkeyPatch, origins: str) -> None:
    environment.setenv("CORS_ORIGINS", origins)
    with pytest.raises(ConfigError, match="CORS_ORIGINS"):
        Settings.load()


HALF = [
    ({"SLACK_BOT_TOKEN": "xoxb-hunter2"}, "SLACK_BOT_TOKEN"),
    ({"SLACK_SIGNING_SECRET": "hunter2"}, "SLACK_BOT_TOKEN"),
    ({"SMTP_URL": "smtp://app:hunter2@mail"}, "MAIL_FROM="),
    ({"MAIL_FROM": "agent@example.com"}, "MAIL_FROM=agent@example.com"),
    ({"MAIL_SENDERS": "@example.com"}, "MAIL_SENDERS=@example.com"),
    ({"SMTP_URL": "mail:hunter2"}, "SMTP_URL"),
    ({"SMTP_URL": "smtp://mail", "MAIL_FROM": "agent"}, "MAIL_FROM=agent"),
    ({"SMTP_URL": "smtp://mail", "MAIL_FROM": "a@b.c", "MAIL_SENDERS": "ann"}, "MAIL_SENDERS=ann"),
]


@pytest.mark.parametrize(("given", "named"), HALF)
def test_a_channel_that_is_half_set_up_is_told_in_one_line(
    environment: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    (fault,) = caught.value.faults
    assert fault.startswith(f"{named} is not usable: ")
    assert "hunter2" not in fault


def test_channels_that_are_set_up_whole_are_taken(environment: pytest.MonkeyPatch) -> None:
    whole = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "s"}
    whole |= {"SMTP_URL": "smtps://agent:p%40ss@mail:465", "MAIL_FROM": "agent@example.com"}
    for name, value in (whole | {"MAIL_SENDERS": "ann@example.com, @example.org"}).items():
        environment.setenv(name, value)
    assert Settings.load().mail_from == "agent@example.com"
