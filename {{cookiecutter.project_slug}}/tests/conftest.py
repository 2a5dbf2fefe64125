"""Real parts for the tests: one PostgreSQL for the run, an empty database for each test."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.adapters import postgres
from {{ cookiecutter.package_name }}.adapters.embedded import Embedded
from {{ cookiecutter.package_name }}.adapters.schema import Schema
from {{ cookiecutter.package_name }}.entrypoints import leash
from {{ cookiecutter.package_name }}.settings import Settings

from .pooler import pooled, running_pooler
from .processes import AGENTS, Process, eventually
from tools.keys import let_in

agents.__path__.append(str(AGENTS))
pytest_plugins = ["tests.factors.report"]
SERVER = pytest.StashKey[Embedded]()
STARTED = pytest.StashKey[list[Process]]()
SECRET = "a secret of the tests, long enough to be taken"
QUICK = ("-F", "-c", "full_page_writes=off", "-c", "log_min_messages=panic")
EMPTY = """DO $$ DECLARE used text; BEGIN
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid <> pg_backend_pid();
    SELECT string_agg(name::text, ', ') INTO used
        FROM (SELECT format('%I.%I', schemaname, tablename)::regclass AS name FROM pg_tables
            WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'api_keys')
            OR schemaname = 'pgmq' AND tablename ~ '^[aq]_') AS of_ours
        WHERE pg_relation_size(name) > 0;
    DELETE FROM api_keys WHERE name <> 'all';
    IF used IS NOT NULL THEN EXECUTE 'TRUNCATE ' || used || ' RESTART IDENTITY CASCADE'; END IF;
END $$"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pooled", action="store_true", help="reach PostgreSQL through a transaction pooler"
    )


def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: the tests wait for processes as much as they work."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session", autouse=True)
def _only_the_environment_of_the_test() -> Iterator[None]:
    """No test sees the developer's .env or settings."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(Settings.model_config, "env_file", None)
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _let_nobody_pass(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Root's PostgreSQL runs as nobody where no namespace may be made, as in most containers."""
    base = tmp_path_factory.getbasetemp()
    for folder in (base, *base.parents):
        if os.geteuid() == 0 == folder.stat().st_uid:
            folder.chmod(folder.stat().st_mode | 0o011)


@pytest.fixture
def passable(tmp_path: Path) -> Path:
    """A directory of the test's own that nobody can pass through."""
    tmp_path.chmod(0o711)
    return tmp_path


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One server for all workers of a run, started by the process that they all depend on."""
    config = node.config
    if SERVER not in config.stash:
        ending = ExitStack()
        config.stash[SERVER] = ending.enter_context(running_server())
        config.add_cleanup(ending.close)
    node.workerinput["server"] = str(config.stash[SERVER].directory)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Embedded]:
    """PostgreSQL, the same that `make up` runs, with a migrated database to copy."""
    if given := getattr(request.config, "workerinput", {}).get("server"):
        yield Embedded(Path(given))
    else:
        with running_server() as embedded:
            yield embedded


@contextmanager
def running_server() -> Iterator[Embedded]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)  # root's PostgreSQL may have to run as nobody
    embedded = Embedded(folder / "postgres")
    command = [sys.executable, "-m", leash.__name__, str(os.getpid()), str(int(signal.SIGQUIT))]
    with subprocess.Popen([*command, *embedded.prepare(), *QUICK]) as process:
        try:
            eventually(embedded.is_ready, "PostgreSQL is ready")
            Schema(url := _create(embedded, "migrated")).upgrade()
            let_in(url)
            yield embedded
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pooler(server: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of PgBouncer in transaction mode."""
    with running_pooler(server.url(), tmp_path_factory.mktemp("pooler")) as address:
        yield address


@pytest.fixture(scope="session")
def reach(request: pytest.FixtureRequest) -> Callable[[str], dict[str, str]]:
    """The environment in which a process reaches the database with this URL."""
    if not request.config.getoption("--pooled"):
        return lambda url: {"DATABASE_URL": url}
    place = request.getfixturevalue("server").url().rpartition("/")[0]
    address = request.getfixturevalue("pooler")

    def reach(url: str) -> dict[str, str]:
        if not url.startswith(f"{place}/"):
            return {"DATABASE_URL": url}
        behind = {"DATABASE_URL": pooled(url, address), "DATABASE_PREPARE": "off"}
        return behind | {"DATABASE_DIRECT_URL": url}

    return reach


@pytest.fixture(scope="session", autouse=True)
def _reached_by_every_pool(
    request: pytest.FixtureRequest, reach: Callable[[str], dict[str, str]]
) -> Iterator[None]:
    """With --pooled, in the process of the test too; where the tests' own URLs are direct."""

    class Pool(AsyncConnectionPool[Any]):
        def __init__(self, url: str, *, kwargs: dict[str, Any], **given: Any) -> None:
            where = reach(url)["DATABASE_URL"]
            if where != url:
                given["configure"], kwargs["prepare_threshold"] = None, None
            super().__init__(where, kwargs=kwargs, **given)

    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.config.getoption("--pooled"):
            monkeypatch.setattr(postgres, "AsyncConnectionPool", Pool)
        yield


@pytest.fixture
def another_database(server: Embedded) -> Callable[[], str]:
    """Makes a database without a table; its URL."""
    return lambda: _create(server, f"test_{uuid4().hex}")


@pytest.fixture
def empty_database(another_database: Callable[[], str]) -> str:
    """The URL of a database without a table."""
    return another_database()


@pytest.fixture
def own_database(server: Embedded) -> str:
    """For a test that adds tables of its own."""
    return _create(server, f"test_{uuid4().hex}", template="migrated")


@pytest.fixture(scope="module")
def module_database(server: Embedded) -> str:
    """For processes that are started once for all tests of a module."""
    return _create(server, f"test_{uuid4().hex}", template="migrated")


@pytest.fixture(scope="session")
def migrated_database(server: Embedded) -> str:
    """One for each process of the run: making one costs more than most tests."""
    return _create(server, f"test_{uuid4().hex}", template="migrated")


@pytest.fixture(scope="session")
def untouched_database(server: Embedded) -> str:
    """One of which the server's autovacuum has nothing to say: no plan depends on the hour."""
    return _create(server, f"test_{uuid4().hex}", template="migrated")


@pytest.fixture
def database_url(migrated_database: str) -> str:
    """The URL of a database with the schema of this release, and nothing in it."""
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(EMPTY)
    return migrated_database


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("DEFAULT_AGENT", "echo")
    return Settings.load()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What fails tells what its processes have said."""
    report = yield
    if report.failed:
        for process in item.stash.get(STARTED, ()):
            report.sections.append((f"said by {process.name}", process.output))
    return report


@pytest.fixture
def start(
    request: pytest.FixtureRequest,
    database_url: str,
    tmp_path: Path,
    reach: Callable[[str], dict[str, str]],
) -> Iterator[Callable[..., Process]]:
    """Starts a process of the service, as in start("serve"); it ends with the test."""
    started = request.node.stash.setdefault(STARTED, [])
    with ExitStack() as ending:

        def start(*command: str, release: str = "", **environment: str) -> Process:
            own = {"DATABASE_URL": database_url, "SECRET_KEY": SECRET}
            own |= {"DEFAULT_AGENT": "echo", "MODEL": "scripted:echo"}
            given = own | environment
            given |= reach(given["DATABASE_URL"])
            process = Process(*command, environment=given, directory=tmp_path, release=release)
            ending.callback(process.end)
            started.append(process)
            return process

        yield start


def _create(server: Embedded, name: str, *, template: str = "template1") -> str:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return f"{server.url().rpartition('/')[0]}/{name}"
