"""The settings, and what is generated from them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from {{ cookiecutter.package_name }}.configuration import env_example, markdown, shown
from {{ cookiecutter.package_name }}.errors import ConfigError
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db.example/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    return monkeypatch


def test_every_fault_is_named_at_once_with_its_variable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "eighty")
    environment.setenv("LOG_FORMAT", "xml")
    environment.delenv("SECRET_KEY")
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    named = [fault.partition(" ")[0] for fault in caught.value.faults]
    assert named == ["PORT=eighty", "LOG_FORMAT=xml", "SECRET_KEY"]


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
        ("BROKER_URL", "kafka://:hunter2@broker"),
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


def test_example_and_page_name_every_setting_and_its_meaning() -> None:
    for name, field in Settings.model_fields.items():
        for text in (env_example(), markdown()):
            assert name.upper() in text
            assert str(field.description) in text
