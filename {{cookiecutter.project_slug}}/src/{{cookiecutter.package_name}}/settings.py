"""Everything a deploy may change, read from the environment once and frozen (factor III).

`.env.example` and `docs/configuration.md` are generated from this class.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import ConfigError

SECRET_LENGTH = 32
NOT_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})|%00")


def _url(*forms: str) -> AfterValidator:
    """A URL of one of these forms; one without `//` needs no more than its scheme."""
    schemes = {form.partition(":")[0]: form.endswith("//") for form in forms}

    def check(value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        scheme = url.partition(":")[0]
        if scheme not in schemes or (schemes[scheme] and not urlsplit(url).netloc):
            msg = f"expected {' or '.join(form + '…' * form.endswith('/') for form in forms)}"
            raise ValueError(msg)
        if not url.isprintable() or " " in url or NOT_ENCODED.search(url):
            msg = "a blank, a control character or a lone % in it has to be written as %20, %25, …"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value) < SECRET_LENGTH:
        msg = f"it has {len(value)} characters"
        raise ValueError(msg)
    return value


def _label(value: str) -> str:
    if not value.isprintable():
        msg = "a label is one line of printable characters"
        raise ValueError(msg)
    return value


Label = Annotated[str, AfterValidator(_label)]
DatabaseUrl = Annotated[SecretStr, _url("postgresql://", "embedded:")]
BrokerUrl = Annotated[SecretStr, _url("pgmq:", "redis://", "rediss://", "amqp://", "amqps://")]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    port: int = Field(8000, ge=1, le=65535)
    """The port that the web process binds, on all interfaces."""
    metrics_port: int = Field(9100, ge=1, le=65535)
    """The port on which worker and scheduler serve /health and /metrics."""
    environment: Label = "development"
    """The name of this deploy: a label on logs and metrics, never a switch in the code."""
    release: Label = "unreleased"
    """What is running: the tag or commit that the image was built from."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least that is logged."""
    log_format: Literal["json", "text"] = Field("json", examples=["text"])
    """json: one object a line, for machines. text: key=value, for people."""
    database_url: DatabaseUrl = Field(examples=["embedded:"])
    """PostgreSQL. `embedded:` is the one that `make up` runs in .local/ on a laptop."""
    database_direct_url: DatabaseUrl | None = None
    """The same database past a transaction pooler, for locks and migrations."""
    database_pool_size: int = Field(10, ge=1, le=1000)
    """The most connections that one process holds to the database."""
    broker_url: BrokerUrl = SecretStr("pgmq:")
    """Where tasks queue. `pgmq:` is the database itself; or redis://… or amqp://…"""
    worker_concurrency: int = Field(100, ge=1, le=10_000)
    """Sessions in flight in one worker process; more cores are more processes."""
    shutdown_grace: int = Field(25, ge=1, le=3600)
    """Seconds that work in flight may take after SIGTERM; then it is handed back."""
    lane: str = Field("default", pattern=r"^[a-z0-9-]{1,32}$")
    """Which sessions these processes start and take up: a worker serves one lane."""
    default_agent: str = ""
    """The agent of a session that names none; empty: the first by name."""
    prompt_version: str = Field("", pattern=r"^(v\d+)?$")
    """The prompt that new sessions are pinned to, as in v2; empty: the newest."""
    agent_max_steps: int | None = Field(None, ge=1)
    """Model calls for one message, in place of the agent's own limit."""
    context_tokens: int = Field(16_000, ge=1_000)
    """The most that a model is shown at once; older parts are summed up."""
    decision_days: float = Field(7, gt=0, le=365)
    """How long a session waits for a person."""
    model: str = ""
    """As in openai:gpt-5.2 or anthropic:claude-opus-4-6; empty: the default agent's own script."""
    model_fallbacks: str = ""
    """Models to ask when that one does not answer, separated by commas."""
    model_timeout: float = Field(120, gt=0, le=3600)
    """Seconds for an answer, with all retries and fallbacks."""
    model_temperature: float | None = Field(None, ge=0, le=2)
    """Empty: the provider's default."""
    model_concurrency: int = Field(0, ge=0)
    """Requests in flight to a provider from all processes together; 0: no limit."""
    openai_api_key: SecretStr | None = None
    """For openai:… models."""
    openai_base_url: str | None = Field(None, pattern=r"^https?://\S+$")
    """Any server that speaks OpenAI's chat completions; such a one may need no key."""
    anthropic_api_key: SecretStr | None = None
    """For anthropic:… models."""
    retention_days: int = Field(30, ge=1, le=36_500)
    """How long a session is kept after its last event."""
    secret_key: Annotated[SecretStr, AfterValidator(_long_enough)]
    """Signs what leaves the service and comes back to it; at least 32 characters."""

    @classmethod
    def load(cls) -> Self:
        """The settings of this process, or one ConfigError that names every fault."""
        env = Path(str(cls.model_config["env_file"]))
        if (env.exists() or env.is_symlink()) and not env.is_file():
            raise ConfigError(f"{env} is there and is no file: make it one, or take it away")
        try:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f".env can't be read: {error}. It has to be UTF-8 text") from None
        except ValidationError as error:
            raise ConfigError(*(_fault(cls, dict(fault)) for fault in error.errors())) from None

    @property
    def direct_url(self) -> SecretStr:
        return self.database_direct_url or self.database_url


def is_secret(field: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[field].annotation)


def _fault(settings: type[Settings], error: dict[str, Any]) -> str:
    field = str(error["loc"][0])
    help_ = settings.model_fields[field].description
    if error["type"] == "missing":
        return f"{field.upper()} is not set: {help_}"
    value = "" if is_secret(field) else f"={error['input']}"
    rule = error["msg"].removeprefix("Value error, ")
    return f"{field.upper()}{value} is not usable: {rule}. {help_}"
