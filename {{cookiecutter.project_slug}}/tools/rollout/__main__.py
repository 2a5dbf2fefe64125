"""Releases, rollbacks and lanes on Kubernetes; docs/releasing.md tells which when."""

import shlex
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path

from ..environments import PROJECT
from . import Object, Refused, diagnosis, lanes, strategies
from .environment import STRATEGIES, environment, image, lane
from .executor import Executor, Failed, Sleep
from .kubectl import Kubectl, KubectlError, Start, render, run
from .manifests import Manifests
from .plan import Plan, Step

RUN = "python -m tools.rollout"


class Asked:
    """A command line, and what it is about."""

    def __init__(self, given: list[str], project: Path, start: Start) -> None:
        self.options = parser().parse_args(given)
        self.on = environment(self.options.environment, project)
        self.kubectl = Kubectl(self.on.context, self.on.namespace, start)
        self._given, self._project = given, project

    def manifests(self) -> Manifests:
        made = image(self.options.image, self.on, self.options.name)
        overlay = self._project / "deploy" / "kubernetes" / "overlays" / self.on.name
        return Manifests(render(overlay, self.kubectl.start), made)

    def plan(self, title: str, steps: list[Step], back: str = "") -> Plan:
        again, back = f"{RUN} {shlex.join(self._given)}", back and f"{RUN} {back}"
        return Plan(f"{self.on.name}: {title}", tuple(steps), again, back)


def main(
    given: list[str],
    project: Path = PROJECT,
    start: Start = run,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = time.sleep,
) -> int:
    try:
        asked = Asked(given, project, start)
        told = asked.options.does(asked)
        if not isinstance(told, Plan):
            print(*told, sep="\n")
        elif asked.options.dry_run or asked.options.script:
            print(*told.printed(str(asked.kubectl), is_script=asked.options.script), sep="\n")
        else:
            Executor(asked.kubectl, clock, sleep).run(told)
    except (Refused, Failed, KubectlError) as error:
        print(f"rollout: {error}", file=sys.stderr)
        return 2 if isinstance(error, Refused) else 1
    except KeyboardInterrupt:
        print("rollout: interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def release(asked: Asked) -> Plan:
    made, now = asked.manifests(), asked.kubectl.now()
    strategy = asked.options.strategy or asked.on.strategy
    how = {"host": asked.on.host, "keep": asked.options.keep}
    steps = strategies.release(strategy, made, now, **how)
    former = strategies.begins(made.release, now).target
    back = f"rollback {asked.on.name} {former}" if former else ""
    return asked.plan(f"release of {made.release}, {strategy}", steps, back)


def rollback(asked: Asked) -> Plan | list[str]:
    now, former, target = asked.kubectl.now(), asked.options.former, asked.options.release
    memory, where = now.memory, asked.on.name
    if former and former not in memory.leaves:
        return [f"{where}: {former} neither runs nor was begun: nothing to go back from"]
    if memory.gone_back_from and not (memory.going_back_to or former or target):
        why = f"{memory.newest} runs, for {memory.gone_back_from} was gone back from"
        return [f"{where}: {why}: to go further back, name a release"]
    if not (target := target or memory.target):
        raise Refused(f"{asked.on.name} remembers no release to go back to: name one")
    return asked.plan(f"rollback to {target}", strategies.rollback(target, now, asked.on.host))


def diagnose(asked: Asked) -> Iterator[str]:
    def logs(pod: Object) -> list[str]:
        try:
            return asked.kubectl("logs", pod["metadata"]["name"], "--previous").splitlines()
        except KubectlError as error:
            return [f"no log: {error}"]

    yield f"{asked.on.name}: {asked.kubectl}"
    yield from diagnosis.page(asked.kubectl.now(diagnosis.KINDS), logs)


def add_lane(asked: Asked) -> Plan:
    name = lane(asked.options.lane)
    steps = list(lanes.add(name, asked.manifests(), asked.kubectl.now()))
    return asked.plan(f"lane {name}", steps, f"lane remove {asked.on.name} {name}")


def remove_lane(asked: Asked) -> Plan:
    name = lane(asked.options.lane)
    return asked.plan(f"lane {name} goes", list(lanes.remove(name)))


def list_lanes(asked: Asked) -> list[str]:
    return list(lanes.listed(asked.kubectl.now("deployments"))) or ["only the default lane"]


def parser() -> ArgumentParser:
    every, plans, images = (ArgumentParser(add_help=False) for _ in range(3))
    every.add_argument("environment", metavar="ENVIRONMENT", help="of deploy/environments")
    plans.add_argument("--dry-run", action="store_true", help="print the steps, do none")
    plans.add_argument("--script", action="store_true", help="print them as a shell script, whole")
    images.add_argument("image", metavar="IMAGE", help="NAME:TAG, NAME@DIGEST or NAME:TAG@DIGEST")
    images.add_argument("--name", metavar="RELEASE", help="if not the tag, or part of the digest")
    made = ArgumentParser(prog=RUN, description=__doc__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    told = {
        "release": "bring an image there, step by step, by the environment's strategy",
        "rollback": "go back to the release before, or to one that is named",
        "diagnose": "what runs, what does not and why, and what was last: on one page",
        "lane": "another image beside the default one, for requests that ask for it",
    }
    new = commands.add_parser("release", parents=[every, images, plans], help=told["release"])
    new.add_argument("--strategy", choices=STRATEGIES, help="other than the environment's")
    kept = "how long a former colour stays up once traffic has left it (300)"
    new.add_argument("--keep", type=int, default=300, metavar="SECONDS", help=kept)
    new.set_defaults(does=release)
    former = commands.add_parser("rollback", parents=[every, plans], help=told["rollback"])
    former.add_argument("release", nargs="?", metavar="RELEASE", help="if not the one before")
    only = "go only if this runs or was begun, so that it may be asked for twice"
    former.add_argument("--from", dest="former", metavar="RELEASE", help=only)
    former.set_defaults(does=rollback)
    page = commands.add_parser("diagnose", parents=[every], help=told["diagnose"])
    page.set_defaults(does=diagnose)
    ways = commands.add_parser("lane", help=told["lane"]).add_subparsers(required=True)
    named = ArgumentParser(add_help=False)
    named.add_argument("lane", metavar="NAME", help="as in the header tracestate: ctx=lane:NAME")
    ways.add_parser("add", parents=[every, named, images, plans]).set_defaults(does=add_lane)
    ways.add_parser("remove", parents=[every, named, plans]).set_defaults(does=remove_lane)
    ways.add_parser("list", parents=[every]).set_defaults(does=list_lanes)
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
