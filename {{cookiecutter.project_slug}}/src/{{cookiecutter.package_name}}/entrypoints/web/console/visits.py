"""One request for a page: who asks, and what was filled in; whatever goes wrong is a page too.

A handler takes a Visit and gives a Response. No page is given to nobody, and no form is taken that
was not on a page of ours: so holds for every route that is made by `get` and `post`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ....errors import AppError, Forbidden, NotFound, Unauthorized
from ....ports import Caller, Figures
from ....ports import Scope as Right
from ....service import Service
from ....telemetry.logs import session
from ..callers import check_scope
from ..problems import outside
from .cookies import Seal, cookie_of, mark_of
from .render import page

MOST_FIELDS, DIGITS, MANY = 40, 9, 100
SIGN_IN = "/sign-in"
SEE_OTHER = 303
OURS = {"same-origin", "none"}
Else = TypeVar("Else", int, None)


@dataclass(frozen=True, kw_only=True)
class Visit:
    request: Request
    caller: Caller
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> Service:
        return cast("Service", self.request.state.service)

    @property
    def figures(self) -> Figures:
        return cast("Figures", self.request.state.figures)

    def may(self, right: Right) -> bool:
        return right in self.caller.scopes

    def needs(self, right: Right) -> None:
        check_scope(self.caller, right)

    async def spends(self) -> None:
        """As with the API: who gives agents work may do so, and has an allowance left."""
        self.needs("chat")
        await self.request.state.allowances.take_message(self.caller)

    async def session_id(self) -> str:
        """A session of the caller's own: another's is as good as none."""
        given = self.request.path_params["session_id"]
        try:
            session_id = str(UUID(given))
        except ValueError:
            raise NotFound("this address names no session: the list has all of them") from None
        session.set(session_id)
        await self.service.check_owner(session_id, self.caller.owner)
        return session_id

    def asked(self, name: str, default: int, *, most: int = 2**31 - 1) -> int:
        """A number in the address; nothing else is worth an error."""
        return min(number(self.request.query_params.get(name, ""), default), most)

    async def page(self, template: str, *, status: int = 200, **known: Any) -> Response:
        """With what stands on every page."""
        waiting = await self.figures.waiting(self.caller.owner)
        token = Seal.of(self.request).token(cookie_of(self.request))
        return page(
            template,
            status=status,
            here=self.request.url.path,
            caller=self.caller,
            may_approve=self.may("approve"),
            waiting=waiting,
            waiting_told=waiting if waiting < MANY else f"{MANY - 1}+",
            token=token,
            **known,
        )


Handle = Callable[[Visit], Awaitable[Response]]
Answer = Callable[[Request], Awaitable[Response]]


def get(path: str, handle: Handle) -> Route:
    async def answer(request: Request) -> Response:
        visit = Visit(request=request, caller=await _caller(request))
        visit.needs("chat")
        return await handle(visit)

    return Route(path, told(answer), methods=["GET"])


def post(path: str, handle: Handle) -> Route:
    async def answer(request: Request) -> Response:
        check_origin(request)
        caller, form = await _caller(request), await read_form(request)
        if not Seal.of(request).is_token(form.pop("token", ""), cookie_of(request)):
            raise Forbidden("this form is not of this session: load the page again, and send it")
        return await handle(Visit(request=request, caller=caller, form=form))

    return Route(path, told(answer), methods=["POST"])


def told(answer: Answer) -> Answer:
    """Whatever goes wrong is told as a page, and who has to sign in is led there."""

    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except Unauthorized as error:
            if request.method == "GET":
                return go(f"{SIGN_IN}?to={quote(_here(request))}")
            return _problem(error.status, error.title, str(error))
        except AppError as error:
            return _problem(error.status, error.title, outside(error))
        except ValidationError as error:
            faults = (f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
            return _problem(422, "Not quite", "; ".join(faults))
        except HTTPException as error:
            return _problem(error.status_code, "Not taken", error.detail)

    return guarded


def go(path: str) -> Response:
    return RedirectResponse(path, SEE_OTHER)


def check_origin(request: Request) -> None:
    """What another site makes a browser send says so, in one header or the other."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is not None:
        own = urlsplit(origin).netloc == request.headers.get("host", "")
        site = "same-origin" if own else "cross-site"
    if site is not None and site not in OURS:
        raise Forbidden("this form came from another site: open the page here, and send it there")


async def read_form(request: Request) -> dict[str, str]:
    """The last of each name, with the line ends that everybody else uses."""
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise HTTPException(400, "what was sent is no form of these pages") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def number(given: str, otherwise: Else) -> int | Else:
    """What stands there, if it is one; no longer than any that we give out."""
    is_one = given.isascii() and given.isdecimal() and len(given) <= DIGITS
    return int(given) if is_one else otherwise


async def _caller(request: Request) -> Caller:
    """Whose key has signed in, as long as it is good; the request is counted."""
    mark = mark_of(request)
    caller: Caller | None = await request.state.identity.marked(mark) if mark else None
    if caller is None:
        raise Unauthorized("nobody is signed in, or the key is out: sign in, and send it again")
    await request.state.allowances.take_request(caller)
    return caller


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _problem(status: int, title: str, text: str) -> Response:
    return page("problem.html", status=status, title=title, text=text, here="", caller=None)
