"""PgBouncer in transaction mode before the PostgreSQL of the tests, as many a platform has one."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from {{ cookiecutter.package_name }}.entrypoints import leash

from .processes import PATIENCE, eventually
from tools.stack import free_port

CONFIG = """[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 1000
"""
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=TERM")
TRIES = 3
WHERE = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"


@contextmanager
def running_pooler(server_url: str, folder: Path) -> Iterator[str]:
    """The address, as in 127.0.0.1:6432, that stands in a URL for that of the server."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=WHERE)
    if program is None:
        lack = "there is no pgbouncer on this machine: apt install pgbouncer"
        if os.environ.get("CI") == "true":
            pytest.fail(lack)
        pytest.skip(lack)
    process, own = _started(program, server_url, folder)
    for _ in range(TRIES):
        if process.poll() is None:
            break
        process, own = _started(program, server_url, folder)  # another was quicker at the port
    try:
        assert process.poll() is None, f"PgBouncer ended with {process.returncode}"
        yield f"127.0.0.1:{own}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _started(program: str, server_url: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """It answers at this port, or has ended."""
    known, own, parent = conninfo_to_dict(server_url), free_port(), os.getpid()
    config = folder / "pgbouncer.ini"
    config.write_text(CONFIG.format(**known, own=own))
    folder.chmod(0o711)  # PgBouncer refuses root: that of root is nobody's
    config.chmod(0o644)
    process = subprocess.Popen(
        [*(AS_NOBODY if os.geteuid() == 0 else ()), program, "-q", str(config)],
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: leash.tie(parent, signal.SIGTERM),
    )
    eventually(lambda: _answers(own) or process.poll() is not None, "PgBouncer answers")
    return process, own


def pooled(url: str, address: str) -> str:
    """The same database by way of the pooler."""
    place = url.rpartition("@")[2]
    return url.replace(place, f"{address}/{place.partition('/')[2]}")


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
