"""A small run of what `make fuzz` does at length: whatever comes, the answer is as documented."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI, Request

from {{ cookiecutter.package_name }}.entrypoints.web import hooks
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import HEADER, NotSigned, secrets_of, verify

from ..conftest import SECRET
from tools.fuzz import deliveries, webhooks
from tools.fuzz.headers import fuzz, routes
from tools.keys import KEY

CASES = 300
BEARER = f"Bearer {KEY}"


@pytest.fixture
def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("WEBHOOKS", deliveries.SENDERS)
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", SECRET[::-1].replace(",", ""))
    return create_app(settings.load())


@pytest.mark.parametrize("authorization", ["", BEARER])
def test_no_header_breaks_any_route(app: FastAPI, authorization: str) -> None:
    outcome = asyncio.run(fuzz(app, cases=CASES, seed=1, authorization=authorization))
    assert not outcome.faults
    assert outcome.cases == CASES
    assert len(outcome.routes) == len(routes(app.openapi())) > 10


def test_a_route_that_breaks_or_answers_otherwise_than_described_is_found(app: FastAPI) -> None:
    @app.get("/broken")
    async def broken(request: Request) -> str:
        return request.headers["no-such"]

    @app.get("/shy", status_code=204)
    async def shy() -> None:
        """Nothing is said of an error here."""

    document = app.openapi()
    document["paths"]["/shy"]["get"]["responses"] = {"200": {"content": {"text/plain": {}}}}
    app.openapi = lambda: document  # type: ignore[method-assign]
    faults = asyncio.run(fuzz(app, cases=100, seed=1, authorization=BEARER)).faults
    assert {fault.partition(" answers")[0] for fault in faults} == {"GET /broken", "GET /shy"}
    assert any("500 broken by KeyError" in fault for fault in faults)
    assert "GET /shy answers 204, which is not documented" in faults


def test_no_mutant_of_a_delivery_is_taken_and_what_is_signed_is(app: FastAPI) -> None:
    outcome = asyncio.run(webhooks.fuzz(app, cases=CASES, seed=1))
    assert not outcome.faults
    ways = {way.__name__ for way in deliveries.WAYS}
    assert outcome.routes == ways | {"genuine", "replayed", "rotated", "odd"}
    assert {kind for kind, status in outcome.answers if status == 202} & ways == set()


def of_any_time(*given: Any, **named: Any) -> str:
    return verify(*given, **named, window=1e12)


def of_any_form(header: str | None, *given: Any, **named: Any) -> str:
    found = HEADER.search(header or "")
    return verify(found and found[0], *given, **named)


def of_any_body(header: str | None, _: bytes, keys: Iterable[str], *, now: float) -> str:
    found = HEADER.fullmatch(header or "")
    if found is None or abs(now - int(found[1])) > 300:
        raise NotSigned("not at all")
    return found[2]


def each_anew(*given: Any, **named: Any) -> str:
    return f"{verify(*given, **named)} {uuid4()}"


def to_nobody(*_: Any, **named: Any) -> str:
    raise NotSigned(f"at {named['now']}")


def of_all(_: str, settings: Settings) -> Iterable[str]:
    return [*secrets_of("ops", settings), *secrets_of("ci", settings)]


@pytest.mark.parametrize(
    ("part", "broken", "kinds"),
    [
        ("verify", of_any_time, ["too_late"]),
        ("verify", of_any_form, ["doubled"]),
        ("verify", of_any_body, ["in_body", "in_key", "in_sender", "in_time"]),
        ("verify", each_anew, ["sessions and messages"]),
        ("verify", to_nobody, ["genuine", "replayed", "rotated", "sessions and messages"]),
        ("secrets_of", of_all, ["in_sender"]),
    ],
)
def test_a_door_that_is_ajar_or_shut_is_found(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, part: str, broken: object, kinds: list[str]
) -> None:
    monkeypatch.setattr(hooks, part, broken)
    faults = asyncio.run(webhooks.fuzz(app, cases=CASES // 3, seed=1)).faults
    assert {fault.partition(" are")[0].partition(":")[0] for fault in faults} >= set(kinds)
