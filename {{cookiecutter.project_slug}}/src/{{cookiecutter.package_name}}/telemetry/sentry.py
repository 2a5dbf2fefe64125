"""Errors that are logged are reported to Sentry too, where SENTRY_DSN says so; imported only then.

Nothing of a request, no user, no variable of a function leaves; the sentences are those of the log.
"""

import logging
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.logging import EventHandler
from sentry_sdk.types import Event
from sentry_sdk.utils import BadDsn

from ..errors import ConfigError
from ..settings import Settings

CLOSING_SECONDS = 1
TAGS = ("session", "request_id", "trace_id")


def reporter(settings: Settings, process: str) -> logging.Handler:
    """What sends each event of the level ERROR and above, from a thread of its own."""

    def tagged(event: Event, hint: dict[str, Any]) -> Event:
        known = vars(hint["log_record"])
        tags = {name: str(known[name]) for name in TAGS if name in known}
        event["tags"] = {"process": process} | tags
        event.pop("breadcrumbs", None)  # an empty list of them is sent else
        return event

    dsn = settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else None
    try:
        sentry_sdk.init(
            dsn,
            release=settings.release,
            environment=settings.environment,
            before_send=tagged,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[AtexitIntegration(callback=lambda *_: None)],
            auto_session_tracking=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            send_client_reports=False,
            send_default_pii=False,
            shutdown_timeout=CLOSING_SECONDS,
        )
    except BadDsn as error:
        raise ConfigError(f"SENTRY_DSN is not usable: {error}. Where errors are reported") from None
    return EventHandler(level=logging.ERROR)
