"""Every error is a problem document (RFC 9457): what is wrong, with what, and what to do."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ...errors import AppError, Unavailable
from .observe import PATH_LENGTH

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Fault(BaseModel):
    where: str = Field(examples=["path.session_id"])
    what: str = Field(examples=["Input should be a valid UUID"])


class Problem(BaseModel):
    """The body of every answer that is not a success."""

    type: str = "about:blank"
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = ""
    faults: list[Fault] = []


def describe_problems(app: FastAPI, *also: Callable[[dict[str, Any]], None]) -> None:
    """Adds the problem document to the OpenAPI description, which knows of our routes alone."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= schema.pop("$defs") | {"Problem": schema}
        for describe in also:
            describe(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as problem documents, for a route's OpenAPI description."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def answer_problems(app: FastAPI) -> None:
    """Makes the app answer every error with a problem document."""

    @app.exception_handler(AppError)
    async def _(_: Request, error: AppError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        asked = f"{request.method} {request.url.path[:PATH_LENGTH]}"
        detail = f"{asked}: {error.detail}. What can be asked is described at /openapi.json"
        return problem(error.status_code, detail, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [Fault(where=where(e["loc"]), what=e["msg"]) for e in error.errors()]
        return problem(
            422, "the request does not fit the OpenAPI document at /openapi.json", faults=faults
        )


def answer(error: AppError) -> JSONResponse:
    """The error as it is told; with the headers that its status wants."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(ceil(error.retry_after))
    return problem(error.status, outside(error), title=error.title, headers=headers)


def outside(error: AppError) -> str:
    """What anybody may be told of it; the rest is for the log."""
    detail = str(error)
    if isinstance(error, Unavailable) and detail != error.outside:
        log.warning("backing service away", extra={"error": detail})
        return error.outside
    return detail


def where(loc: tuple[str | int, ...]) -> str:
    """Names of the client's own choice are in it."""
    return ".".join(map(str, loc))[:PATH_LENGTH]


def problem(
    status: int,
    detail: str,
    *,
    title: str = "",
    faults: list[Fault] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    title = title or HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, faults=faults or [])
    return JSONResponse(body.model_dump(), status, headers=headers, media_type=MEDIA_TYPE)
