"""The database as a test sees it from beside the service, and what the service does with it."""

from collections.abc import Iterator

import psycopg
import pytest

from .plans import Plans

Database = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def plans(untouched_database: str) -> Iterator[Plans]:
    plans = Plans(untouched_database)
    with plans.recording():
        yield plans


@pytest.fixture(autouse=True)
def _no_statement_reads_a_growing_table_whole(plans: Plans) -> Iterator[None]:
    yield
    faults = plans.faults()
    assert not faults, "\n".join(faults)
