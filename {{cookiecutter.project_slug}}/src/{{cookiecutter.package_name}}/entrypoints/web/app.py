"""The FastAPI application, and the server that binds $PORT itself (factor VII)."""

import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypedDict

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from ...about import about
from ...bootstrap import make_tracer, running
from ...channels import Channels
from ...deliverer import Deliverer
from ...errors import AppError
from ...ports import Allowances, Figures, Identity
from ...service import Service
from ...settings import Settings, listed
from ...telemetry.logs import configure_logs
from ...telemetry.metrics import Metrics
from ...telemetry.notes import Notes
from ...upkeep import Upkeep
from ..memory import collect_rarely
from .callers import Authenticate, describe_keys
from .chat import router as chat
from .console import routes as console
from .decide import router as decide
from .guard import Guard
from .hooks import router as hooks
from .mcp import router as mcp
from .observe import Observe
from .patience import Patient
from .problems import answer_problems, describe_problems
from .routes import router as probes
from .stream import Stopping
from .trace import Traced

log = logging.getLogger(__name__)

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "DELETE"],
    "allow_headers": [
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "Last-Event-ID",
        "Mcp-Method",
        "Mcp-Name",
        "MCP-Protocol-Version",
        "Prefer",
    ],
    "expose_headers": ["Location", "Preference-Applied", "Retry-After", "X-Request-ID"],
}
UNREAD_SECONDS = 30
"""So long an answer waits for a client that reads nothing, or is gone without a word."""
UNTOLD: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""By the framework: what is told of requests is told by us."""


class State(TypedDict):
    """What a request finds in `request.state`."""

    service: Service
    upkeep: Upkeep
    channels: Channels
    deliverer: Deliverer
    identity: Identity
    allowances: Allowances
    figures: Figures
    stopping: Stopping


class Parts(Protocol):
    """What this process needs of an App."""

    @property
    def upkeep(self) -> Upkeep: ...
    @property
    def channels(self) -> Channels: ...
    @property
    def deliverer(self) -> Deliverer: ...
    @property
    def keys(self) -> Identity: ...
    @property
    def allowances(self) -> Allowances: ...
    @property
    def figures(self) -> Figures: ...


def create_app(
    settings: Settings, *, parts: AbstractAsyncContextManager[Parts] | None = None
) -> FastAPI:
    """The application; a test may hand it other parts."""

    metrics = Metrics(settings, "web")
    notes = Notes(metrics=metrics, context_tokens=settings.context_tokens)
    tracer = make_tracer(settings, "web")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with parts or running(settings, "web", witness=notes, tracer=tracer) as opened:
            upkeep, service = opened.upkeep, opened.upkeep.service
            yield {
                "service": service,
                "upkeep": upkeep,
                "channels": opened.channels,
                "deliverer": opened.deliverer,
                "identity": opened.keys,
                "allowances": opened.allowances,
                "figures": opened.figures,
                "stopping": Stopping(service.live),
            }

    app = FastAPI(
        title=about().name,
        description=about().description,
        version=about().version,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would be built from whatever Host was sent
        docs_url=None,  # its scripts come from elsewhere, with the rights of this origin
        redoc_url=None,
        telemetry=UNTOLD,
    )
    app.state.metrics = metrics
    app.state.settings = settings
    # Included ones would be searched twice for each request.
    for router in (probes, chat, hooks, decide, mcp, *_doors(settings)):
        app.router.routes.extend(router.routes)
    app.router.routes.extend(console)
    app.add_middleware(Authenticate)
    if settings.cors_origins:
        origins = listed(settings.cors_origins)
        app.add_middleware(CORSMiddleware, allow_origins=origins, **CORS)
    app.add_middleware(Guard, hosts=listed(settings.allowed_hosts.lower()))
    app.add_middleware(Observe, metrics=metrics)
    if tracer:
        app.add_middleware(Traced, tracer=tracer)
    answer_problems(app)
    describe_problems(app, describe_keys)
    return app


def _doors(settings: Settings) -> Iterator[APIRouter]:
    """Of the channels that are turned on; the others are not even imported."""
    if settings.slack_bot_token:
        from . import slack

        yield slack.router
    if settings.mail_senders:
        from . import mail

        yield mail.router


class Server(uvicorn.Server):
    """Ends first what would never end by itself: uvicorn waits for every request in flight."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state["stopping"].begin()
        await super().shutdown(sockets)


def serve(settings: Settings) -> int:
    """Serves until SIGTERM, finishes what is in flight; the exit code."""
    configure_logs(settings, "web")
    listener = _bind(settings.port)
    config = uvicorn.Config(
        create_app(settings),
        http=Patient,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace,
    )
    server = Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Before uvicorn listens for it, and after, when it raises it again: exit 0 all the same.
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    collect_rarely()
    log.info("web started", extra={"port": settings.port})
    server.run([listener])
    log.info("web stopped")
    return 0


def _bind(port: int) -> socket.socket:
    """A listening socket on every interface, IPv6 too where the machine has it."""
    try:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        listener = socket.create_server(
            ("", port), family=family, dualstack_ipv6=family == socket.AF_INET6, backlog=2048
        )
    except OSError as error:
        why = (
            "is taken" if error.errno == errno.EADDRINUSE else f"can't be bound ({error.strerror})"
        )
        raise AppError(f"PORT={port} {why}: stop what uses it, or choose another") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux's; each connection has it from here
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
    # Said to be TCP, or asyncio leaves Nagle's algorithm on: 40 ms between a head and its body.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listener.detach())
