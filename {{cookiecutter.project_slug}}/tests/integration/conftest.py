"""The database as a test sees it from beside the service."""

from collections.abc import Iterator

import psycopg
import pytest

Database = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
