"""Every error this service raises on purpose.

AppError                 exit 1, HTTP 500
├── ConfigError          exit 78: the environment is wrong; all faults at once
├── Unavailable          exit 69, HTTP 503: a backing service does not answer
│   ├── ModelError       no model answered, after every retry and fallback
│   └── NewerRelease     what a newer release stored, which this one can't read
├── Unauthorized         exit 1, HTTP 401: nobody that we know
├── Forbidden            exit 1, HTTP 403: somebody who may not do this
├── NotFound             exit 1, HTTP 404
├── Conflict             exit 1, HTTP 409: not in this state
└── TooMany              exit 1, HTTP 429: later, when there is an allowance again

A message names the thing, its value, and what to do. It may be shown to anyone: no secret in it.
"""


class AppError(Exception):
    exit_code = 1
    status = 500
    title = "Something went wrong"

    def __init__(self, text: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        """Seconds after which another try may do better."""


class ConfigError(AppError):
    exit_code = 78
    title = "The configuration is wrong"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Unauthorized(AppError):
    status = 401
    title = "No valid key"


class Forbidden(AppError):
    status = 403
    title = "Not allowed"


class Unavailable(AppError):
    exit_code = 69
    status = 503
    title = "A backing service does not answer"

    def __init__(
        self, text: str = "", *, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(f"{text}: {reason}" if reason else text, retry_after=retry_after)
        self.outside = text
        """Without the reason, which names addresses, users and databases: for the operator."""


class ModelError(Unavailable):
    title = "No model answers"


class NewerRelease(Unavailable):
    title = "Of a newer release"


class NotFound(AppError):
    status = 404
    title = "Not found"


class Conflict(AppError):
    status = 409
    title = "Not in this state"


class TooMany(AppError):
    status = 429
    title = "Too many"
