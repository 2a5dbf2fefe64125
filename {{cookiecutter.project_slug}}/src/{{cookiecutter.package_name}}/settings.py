"""Everything a deploy may change, read from the environment once and frozen (factor III).

`.env.example` and `docs/configuration.md` are generated from this class.
"""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import ConfigError
from .schedules import read_schedules

SECRET_LENGTH = 32
PLACES = r"^((\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}(,|$))*$"
MAILBOX = r"[^\s@,<>\"]+@[A-Za-z0-9.-]+"
SENDERS = r"^([^\s@,]*@[A-Za-z0-9.-]+(, *[^\s@,]*@[A-Za-z0-9.-]+)*)?$"
NAMES = r"^([a-z]+:[^\s,]+(,\s*[a-z]+:[^\s,]+)*)?$"
CHANNELS = {"webhook": "webhooks", "slack": "slack_bot_token", "mail": "smtp_url"}
"""What turns each of them on."""
PLACE = re.compile(r"//[^/?#]")
HOSTS = re.compile(r"((\[[0-9A-Fa-f:.%]+\]|[^\[\]:,@]*)(:[0-9]*)?(,|$))*")
NOT_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})|%00")


def _url(*forms: str) -> AfterValidator:
    """A URL of one of these forms; one without `//` needs no more than its scheme."""
    schemes = {form.partition(":")[0]: form.endswith("//") for form in forms}

    def check(value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        scheme, _, rest = url.partition(":")
        if scheme not in schemes or (schemes[scheme] and not PLACE.match(rest)):
            msg = f"expected {' or '.join(form + '…' * form.endswith('/') for form in forms)}"
            raise ValueError(msg)
        if _is_torn(url):
            msg = "in a user or password @ / ? # [ ] have to be written as %40 %2F %3F %23 %5B %5D"
            raise ValueError(msg)
        if not url.isprintable() or " " in url or NOT_ENCODED.search(url):
            msg = "a blank, a control character or a lone % in it has to be written as %20, %25, …"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _goes_with(other: str, *, both: bool = True) -> AfterValidator:
    """Not without the other one; nor that without this, where it takes both."""

    def check(value: object, info: ValidationInfo) -> object:
        is_there = bool(info.data.get(other, value))  # a faulty one has its own line
        if bool(value) != is_there and (value or both):
            msg = f"it goes with {other.upper()}, which is {'' if is_there else 'not '}set"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _turned_on(names: list[str], info: ValidationInfo) -> None:
    for channel, name in ((name.partition(":")[0], name) for name in names):
        if (switch := CHANNELS.get(channel)) is None:
            raise ValueError(f"{name!r} is of no channel that there is: {', '.join(CHANNELS)}")
        if switch in info.data and not info.data[switch]:
            raise ValueError(f"{name!r} needs {switch.upper()}, or nothing turns {channel} on")


def _recipients(value: str, info: ValidationInfo) -> str:
    _turned_on(listed(value), info)
    return value


def _schedules(value: str, info: ValidationInfo) -> str:
    _turned_on([schedule.to for schedule in read_schedules(value) if schedule.to], info)
    return value


def _is_torn(url: str) -> bool:
    """Whether a password ends too early, so that the rest of it would be taken for something else,
    and be shown.
    """
    _, _, place = url.partition("//")
    user, at, hosts = re.split("[/?#]", place, maxsplit=1)[0].rpartition("@")
    return (
        bool(re.search(r"[@\[\]]", user)) or ("@" in url and not at) or not HOSTS.fullmatch(hosts)
    )


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value) < SECRET_LENGTH:
        msg = f"it has {len(value)} characters"
        raise ValueError(msg)
    return value


def _all_long_enough(value: SecretStr | None) -> SecretStr | None:
    for part in listed(value.get_secret_value() if value else ""):
        _long_enough(SecretStr(part))
    return value


def _label(value: str) -> str:
    if not value.isprintable():
        msg = "a label is one line of printable characters"
        raise ValueError(msg)
    return value


Label = Annotated[str, AfterValidator(_label)]
DatabaseUrl = Annotated[SecretStr, _url("postgresql://", "embedded:")]
BrokerUrl = Annotated[SecretStr, _url("pgmq:", "redis://", "rediss://", "amqp://", "amqps://")]
MailUrl = Annotated[SecretStr, _url("smtp://", "smtps://")]
CacheUrl = Annotated[SecretStr, _url("redis://", "rediss://")]


def listed(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


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
    """The port on which worker and scheduler serve /health, /ready and /metrics."""
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
    """The same database past a transaction pooler, for LISTEN, locks, the queue and migrations."""
    database_prepare: bool = True
    """off: no prepared statements, which an older pooler in transaction mode can't keep."""
    database_pool_size: int = Field(10, ge=1, le=1000)
    """The most connections that one process holds to the database."""
    database_pool_wait: float = Field(3, gt=0, le=600)
    """Seconds that a statement waits for one of them to be free."""
    database_pool_idle: float = Field(600, gt=0, le=86_400)
    """Seconds after which one that nobody needs is closed."""
    database_pool_lifetime: float = Field(3600, gt=0, le=86_400)
    """Seconds after which one is replaced, so that a moved database is found again."""
    database_statement_timeout: float = Field(60, gt=0, le=3600)
    """Seconds for one statement; then it is cancelled. Migrations and backups may take longer."""
    slow_query_ms: int = Field(500, ge=0)
    """Statements and sends to the broker that take longer are logged, without their values."""
    slow_call_seconds: float = Field(60, ge=0)
    """Calls of models and tools that take longer are logged."""
    broker_url: BrokerUrl = SecretStr("pgmq:")
    """Where tasks queue. `pgmq:` is the database itself; or redis://… or amqp://…"""
    cache_url: CacheUrl | None = None
    """Where agents keep what was slow to get: redis://…; empty: the database."""
    cache_ttl: float = Field(300, gt=0)
    """Seconds that it is kept, where an agent says nothing else."""
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
    outbound_allow: str = Field("", pattern=PLACES)
    """What tools and webhooks may ask beside the public web, as in wiki.internal:443,10.0.0.7:80"""
    otel_exporter_otlp_endpoint: str | None = Field(None, pattern=r"^https?://\S+$")
    """Where traces go, as in http://collector:4318; empty: nothing is traced."""
    otel_exporter_otlp_traces_endpoint: str | None = Field(None, pattern=r"^https?://\S+$")
    """The whole URL, where it is not that one with /v1/traces behind it."""
    otel_instrumentation_genai_capture_message_content: bool = False
    """Prompts, answers, arguments and results go into traces too."""
    otel_bsp_schedule_delay: int = Field(5000, ge=1, le=86_400_000)
    """Milliseconds between two batches of spans, if none is full before."""
    otel_bsp_max_export_batch_size: int = Field(2048, ge=1, le=100_000)
    """So many spans are a full batch."""
    otel_bsp_max_queue_size: int = Field(4096, ge=1, le=1_000_000)
    """So many spans may wait; of more it is said how many are lost."""
    sentry_dsn: Annotated[SecretStr, _url("https://", "http://")] | None = None
    """Where errors are reported; empty: nowhere."""
    retention_days: int = Field(30, ge=1, le=36_500)
    """How long a session is kept after its last event."""
    allowed_hosts: str = "*"
    """Names that the web process answers to, as in api.example.org,*.example.net; *: all."""
    cors_origins: str = Field("", pattern=r"^(https?://[^\s,/]+(,\s*https?://[^\s,/]+)*)?$")
    """Web pages of other origins that may call the API, separated by commas."""
    key_requests: int = Field(600, ge=0)
    """Requests a minute of an API key that has no limit of its own; 0: no limit, as below."""
    key_sessions: int = Field(100, ge=0)
    """Sessions of such a key that may be at work at a time."""
    key_tokens: int = Field(10_000_000, ge=0)
    """Tokens that such a key may use in a day, which begins at 0:00 UTC."""
    key_cost: Decimal = Field(Decimal(100), ge=0)
    """US dollars that such a key may spend in a day."""
    approval_four_eyes: bool = False
    """Who has spoken in a session, answered it or said why not can approve nothing in it."""
    webhooks: str = Field("", pattern=r"^([a-z0-9-]{1,64}(, *[a-z0-9-]{1,64})*)?$")
    """Programs that may send signed messages to /hooks/NAME, separated by commas."""
    slack_signing_secret: SecretStr | None = None
    """Of a Slack app, which signs with it what it sends to /channels/slack/."""
    slack_bot_token: Annotated[SecretStr | None, _goes_with("slack_signing_secret")] = Field(
        None, validate_default=True
    )
    """The Slack app's token, by which answers are said there."""
    slack_api_url: str = Field("https://slack.com/api", pattern=r"^https?://[^\s?#]+$")
    """Where Slack's Web API is."""
    smtp_url: MailUrl | None = None
    """The server that sends e-mail, as in smtp://USER:PASSWORD@HOST:587 or smtps://HOST"""
    mail_from: Annotated[str, _goes_with("smtp_url")] = Field(
        "", pattern=rf"^({MAILBOX})?$", validate_default=True
    )
    """The address that e-mail comes from."""
    mail_senders: Annotated[str, _goes_with("smtp_url", both=False)] = Field("", pattern=SENDERS)
    """Who may write to it, as in ann@example.com,@example.org; empty: nobody."""
    public_url: str = Field("", pattern=r"^(https?://[^\s?#]+)?$")
    """Where people reach the web process, for links in notices, as in https://agent.example.com"""
    approvals_to: Annotated[str, AfterValidator(_recipients)] = Field("", pattern=NAMES)
    """Who decides, in place of whoever asked, as in slack:C0123,mail:ops@example.com"""
    schedules: Annotated[str, AfterValidator(_schedules)] = ""
    """Sessions that begin by the clock: when, where the answer goes, what is said."""
    api_key: SecretStr | None = None
    """The key that `up` lets in; it makes one and writes it to .env where there is none."""
    secret_key: Annotated[SecretStr, AfterValidator(_long_enough)]
    """Signs what leaves the service and comes back to it; at least 32 characters."""
    secret_key_fallbacks: Annotated[SecretStr | None, AfterValidator(_all_long_enough)] = None
    """Former SECRET_KEYs, separated by commas: what they signed is still taken."""

    @classmethod
    def load(cls) -> Self:
        """The settings of this process, or one ConfigError that names every fault."""
        env = Path(str(cls.model_config["env_file"]))
        if (env.exists() or env.is_symlink()) and not env.is_file():
            raise ConfigError(f"{env} is there and is no file: make it one, or take it away")
        mounted, faults = _from_files(cls)
        try:
            settings = cls(**mounted)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f".env can't be read: {error}. It has to be UTF-8 text") from None
        except ValidationError as error:
            faults += [_fault(cls, dict(fault)) for fault in error.errors()]
        if faults:
            raise ConfigError(*faults)
        return settings

    @property
    def direct_url(self) -> SecretStr:
        return self.database_direct_url or self.database_url


def _from_files(settings: type[Settings]) -> tuple[dict[str, Any], list[str]]:
    """Secrets that are mounted as files, NAME_FILE being the path of NAME's value; and faults."""
    found, faults = dict[str, Any](), list[str]()
    for name in filter(is_secret, settings.model_fields):
        variable = f"{name.upper()}_FILE"
        if not (path := os.environ.get(variable)):
            continue
        if os.environ.get(name.upper()):
            faults.append(f"{name.upper()} and {variable} are both set: take one of them away")
        try:
            if value := Path(path).read_text(encoding="utf-8").strip():
                found[name] = value
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{variable}={path} can't be read: {error}")
    return found, faults


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
