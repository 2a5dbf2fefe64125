"""A span for each request, part of the caller's trace where it names one; its route is its name."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...telemetry.spans import SERVER, Attributes, Span, Tracer
from .observe import METHODS, PROBES, header, shown

SERVER_ERROR = 500


class Traced:
    """Around all else, so that what is logged of a request is logged in its trace."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        attributes: Attributes = {
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "url.path": shown(scope["path"]),
        }
        parent = header(scope, b"traceparent")
        name = "HTTP" if method == "_OTHER" else method
        with self.tracer.span(name, SERVER, attributes, traceparent=parent) as span:
            status = SERVER_ERROR

            async def send_noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await self.app(scope, receive, send_noted)
            finally:
                _note(span, scope, status)


def _note(span: Span, scope: Scope, status: int) -> None:
    span.attributes["http.response.status_code"] = status
    if status >= SERVER_ERROR:
        span.error = str(status)
    if route := getattr(scope.get("route"), "path", ""):
        span.name = f"{span.name} {route}"
        span.attributes["http.route"] = route
