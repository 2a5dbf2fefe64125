"""A small run of what `make fuzz` does at length: whatever comes, the answer is as documented."""

import asyncio

import pytest
from fastapi import FastAPI, Request

from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings

from tools.fuzz.headers import fuzz, routes
from tools.keys import KEY

CASES = 300
BEARER = f"Bearer {KEY}"


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


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
