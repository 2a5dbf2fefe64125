"""`python -m tools.fuzz`: the API and its headers, fuzzed; 1 where anything is not as documented.

AUTHORIZATION, if set, is sent as the header of that name.
"""

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings

from ..bench.figures import Figure, table
from ..environments import PROJECT, missing
from ..stack import SECRET, Postgres, Service, directory
from . import api, headers

DEPLOY = {"DEFAULT_AGENT": "bench", "MODEL": "scripted:bench", "SECRET_KEY": SECRET}


def main() -> int:
    asked = _arguments()
    if why := missing(api.ENVIRONMENT):
        sys.exit(f"no schemathesis here: {why}")
    authorization = os.environ.get("AUTHORIZATION", "")
    agents.__path__.append(str(PROJECT / "tools" / "agents"))
    with deployed() as (web, settings):
        api_ = api.fuzz(
            web.url,
            cases=asked.cases,
            seconds=asked.seconds,
            seed=asked.seed,
            authorization=authorization,
        )
        app = create_app(settings)
        every = Counter({route.name for route in headers.routes(app.openapi(), but=())})
        headers_ = asyncio.run(
            headers.fuzz(app, cases=asked.headers, seed=asked.seed, authorization=authorization)
        )
        figures = [
            Figure(name="api: cases", value=api_.cases, least=asked.cases),
            Figure(name="api: routes", value=len(api_.routes & every), least=len(every)),
            Figure(name="api: faults", value=api_.faults.total(), most=0),
            Figure(name="api: 5xx, as counted", value=api.broken(web.get("/metrics")), most=0),
            Figure(name="headers: cases", value=headers_.cases, least=asked.headers),
            Figure(name="headers: faults", value=headers_.faults.total(), most=0),
        ]
    for fault, times in (api_.faults + headers_.faults).most_common(50):
        print(f"{times:6} times {fault}")
    print(table(figures))
    return any(figure.is_over for figure in figures)


@contextmanager
def deployed() -> Iterator[tuple[Service, Settings]]:
    """A web process and a worker on a database of their own."""
    with directory() as folder:
        postgres = Postgres(folder)
        own = DEPLOY | {"DATABASE_URL": postgres.create()}
        services = [Service("serve", **own), Service("work", **own)]
        try:
            for service in services:
                service.ready()
            given = {name.lower(): value for name, value in own.items()}
            yield services[0], Settings.model_validate(given)
        finally:
            for service in services:
                service.stop()
            postgres.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="at least so many to the API")
    parser.add_argument("--headers", type=int, default=10_000, help="so many mutated headers")
    parser.add_argument("--seconds", type=float, default=900, help="at most, for the API")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same requests")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
