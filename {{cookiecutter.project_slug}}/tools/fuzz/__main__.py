"""`python -m tools.fuzz`: API, headers and webhooks, fuzzed; 1 where an answer is not as told."""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings

from ..bench.figures import Figure, table
from ..environments import PROJECT, missing
from ..keys import AUTH
from ..stack import SECRET, Postgres, Service, directory
from . import api, headers, webhooks
from .deliveries import SENDERS

DEPLOY = {"DEFAULT_AGENT": "fuzz", "MODEL": "scripted:fuzz", "SECRET_KEY": SECRET}
DEPLOY |= {"WEBHOOKS": SENDERS, "SECRET_KEY_FALLBACKS": SECRET[::-1].replace(",", "")}
AT_THE_DOOR = {0, 401, 429}
NOT_FOUND = AT_THE_DOOR | {403, 404, 422}
"""Answers that need no session to be there."""
OFTEN = 20


def main() -> int:
    asked = _arguments()
    if why := missing(api.ENVIRONMENT):
        sys.exit(f"no schemathesis here: {why}")
    logging.basicConfig(handlers=[logging.NullHandler()])  # of the app in this process
    agents.__path__.append(str(PROJECT / "tools" / "agents"))
    began = time.monotonic()
    with deployed() as (web, settings):
        app, seed = create_app(settings), asked.seed
        every = headers.routes(app.openapi(), but=())
        sent = api.fuzz(web.url, cases=asked.cases, seconds=asked.seconds, seed=seed)
        counted = api.broken(web.get("/metrics"))
        given = {"cases": asked.headers, "seed": seed, "authorization": AUTH[headers.KEY]}
        mutated = asyncio.run(headers.fuzz(app, **given))
        delivered = asyncio.run(webhooks.fuzz(app, cases=asked.webhooks, seed=seed))
    figures = [
        Figure(name="api: cases", value=sent.cases, least=asked.cases),
        *of_reach(sent, every),
        Figure(name="api: faults", value=sent.faults.total(), most=0),
        Figure(name="api: 5xx, as counted", value=counted, most=0),
        Figure(name="headers: cases", value=mutated.cases, least=asked.headers),
        Figure(name="headers: faults", value=mutated.faults.total(), most=0),
        Figure(name="webhooks: cases", value=delivered.cases, least=asked.webhooks),
        Figure(name="webhooks: faults", value=delivered.faults.total(), most=0),
        Figure(name="all of it", value=time.monotonic() - began, unit="s"),
    ]
    for fault, times in (sent.faults + mutated.faults + delivered.faults).most_common(50):
        print(f"{times:6} times {fault}")
    print(table(figures))
    return any(figure.is_over for figure in figures)


def of_reach(sent: headers.Outcome, every: list[headers.Route]) -> list[Figure]:
    """How far the requests came: what is refused at the door tells nothing of what is behind it."""
    names = {route.name for route in every}
    keyed = {route.name for route in every if route.wants_key}
    of_one = {route.name for route in every if "{session_id}" in route.path}
    let_in, found = sent.share(keyed, but=AT_THE_DOOR), sent.share(of_one, but=NOT_FOUND)
    idle = sorted(keyed - sent.done(OFTEN))
    if idle:
        print(f"refused all but a few times: {', '.join(idle)}")
    return [
        Figure(name="api: routes asked", value=len(sent.routes & names), least=len(names)),
        Figure(name="api: let in, of what wants a key", value=100 * let_in, unit="%", least=90),
        Figure(name="api: found its session", value=100 * found, unit="%", least=25),
        Figure(
            name="api: routes that did their work", value=len(keyed) - len(idle), least=len(keyed)
        ),
    ]


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
    parser.add_argument("--webhooks", type=int, default=10_000, help="so many mutated deliveries")
    parser.add_argument("--seconds", type=float, default=900, help="at most, for the API")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same requests")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
