"""Every error this service raises on purpose.

AppError                 exit 1, HTTP 500
├── ConfigError          exit 78: the environment is wrong; all faults at once
├── Unavailable          exit 69, HTTP 503: a backing service does not answer
│   ├── ModelError       no model answered, after every retry and fallback
│   └── NewerRelease     what a newer release stored, which this one can't read
├── NotFound             exit 1, HTTP 404
└── Conflict             exit 1, HTTP 409: not in this state

A message names the thing, its value, and what to do. It may be shown to anyone: no secret in it.
"""


class AppError(Exception):
    exit_code = 1
    status = 500
    title = "Something went wrong"


class ConfigError(AppError):
    exit_code = 78
    title = "The configuration is wrong"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Unavailable(AppError):
    exit_code = 69
    status = 503
    title = "A backing service does not answer"


class ModelError(Unavailable):
    title = "No model answers"
    retry_after: float | None = None
    """Seconds that the provider asks to be left alone."""


class NewerRelease(Unavailable):
    title = "Of a newer release"


class NotFound(AppError):
    status = 404
    title = "Not found"


class Conflict(AppError):
    status = 409
    title = "Not in this state"
