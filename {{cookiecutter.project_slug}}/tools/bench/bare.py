"""What HTTP costs without us, in a process of its own: a bare FastAPI, `bare.py PORT URL`.

The same answers to the same questions as the service's, through the same kind of pool, with
nothing around them.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.adapters.sessions import SUMMARY
from {{ cookiecutter.package_name }}.agent.session import Status
from {{ cookiecutter.package_name }}.entrypoints.web.chat import AgentName, Cursor, Limit
from {{ cookiecutter.package_name }}.entrypoints.web.routes import Health
from {{ cookiecutter.package_name }}.entrypoints.web.shapes import Sessions
from {{ cookiecutter.package_name }}.ports import Summary

ROW = f"{SUMMARY} WHERE owner = %s ORDER BY created_at DESC, id DESC LIMIT %s"
OPTIONS = {"autocommit": True, "row_factory": dict_row}


def make_app(url: str) -> FastAPI:
    pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
        url, min_size=1, max_size=10, open=False, kwargs=OPTIONS
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> Health:
        return Health.model_validate(about().health())

    @app.get("/chat/sessions")
    async def row(
        status: Status | None = None,
        agent: AgentName = None,
        cursor: Cursor = None,
        limit: Limit = 20,
    ) -> Sessions:
        async with pool.connection() as connection:
            found = await (await connection.execute(ROW.encode(), ["default", limit])).fetchall()
        return Sessions(sessions=[Summary(**row) for row in found], next=None)

    return app


if __name__ == "__main__":
    port, url = sys.argv[1:]
    uvicorn.run(make_app(url), port=int(port), log_config=None, access_log=False)
