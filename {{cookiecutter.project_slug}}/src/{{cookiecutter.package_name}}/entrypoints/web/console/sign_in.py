"""In with a key, and out again; and what the pages are dressed with."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ....errors import Unauthorized
from ....ports import Caller
from . import assets
from .cookies import forget, keep, mark_of
from .render import local, page
from .visits import SIGN_IN, Visit, check_origin, get, go, post, read_form, told

UNKNOWN = "This key is unknown, revoked or expired."
MUTE = "This key lacks the scope `chat`, without which there is nothing to see here."


async def _look(request: Request) -> Response:
    """The form; who is in already goes on."""
    to = local(request.query_params.get("to", "/"))
    if (mark := mark_of(request)) and await request.state.identity.marked(mark):
        return go(to)
    return _form(to)


async def _enter(request: Request) -> Response:
    check_origin(request)
    form = await read_form(request)
    to, key = local(form.get("to", "/")), form.get("key", "").strip()
    caller: Caller | None = await request.state.identity.who(key)
    if caller is None:
        return _form(to, fault=UNKNOWN, status=Unauthorized.status)
    if "chat" not in caller.scopes:
        return _form(to, fault=MUTE, status=403)
    keep(request, response := go(to), request.state.identity.mark(key))
    return response


def _form(to: str, *, fault: str = "", status: int = 200) -> Response:
    return page("sign_in.html", status=status, to=to, fault=fault, caller=None, here=SIGN_IN)


async def _leave(_: Visit) -> Response:
    forget(response := go(SIGN_IN))
    return response


async def _stay(_: Visit) -> Response:
    """Who comes here by its address has not pressed the button."""
    return go("/")


routes = [
    Route(SIGN_IN, told(_look), methods=["GET"]),
    Route(SIGN_IN, told(_enter), methods=["POST"]),
    get("/sign-out", _stay),
    post("/sign-out", _leave),
    Route("/static/{name}", assets.serve, methods=["GET"]),
]
