"""What a cluster holds at one moment, as data, and what it remembers of its releases."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import Object

COLOURS = ("blue", "green")
TRACKS = ("web", "web-blue", "web-green")
"""The Deployments of which Service web points to one."""
VERSION = "app.kubernetes.io/version"
REMEMBERED = 10


def at(thing: Object | None, *path: str) -> Any:
    """What stands there; None where anything on the way does not."""
    found: Any = thing
    for part in path:
        found = (found or {}).get(part)
    return found


def key(thing: Object) -> str:
    """deployment/web"""
    return f"{thing['kind'].lower()}/{thing['metadata']['name']}"


def release_of(thing: Object | None) -> str:
    return str(at(thing, "spec", "template", "metadata", "labels", VERSION) or "")


@dataclass(frozen=True)
class Memory:
    """Annotations of Service web: what finished, oldest first, and what was begun since."""

    releases: tuple[str, ...] = ()
    releasing: str | None = None
    going_back_to: str | None = None
    gone_back_from: str | None = None
    """Until the next release begins."""

    @property
    def newest(self) -> str | None:
        """What was begun, else what finished last."""
        return self.releasing or (self.releases[-1] if self.releases else None)

    @property
    def leaves(self) -> set[str | None]:
        """What a going back may be from: all that runs, in part or as a whole."""
        half_left = {self.gone_back_from} if self.going_back_to else set()
        return {self.releasing, *self.releases[-1:], *half_left}

    @property
    def target(self) -> str | None:
        """Where to go back to: on with a going back, else to what finished before."""
        if self.going_back_to:
            return self.going_back_to
        is_new = self.releasing not in (None, *self.releases[-1:])
        former = self.releases if is_new else self.releases[:-1]
        return former[-1] if former else None

    def with_finished(self, release: str) -> "Memory":
        kept = [known for known in self.releases if known != release]
        return Memory((*kept, release)[-REMEMBERED:])

    def going_back(self, release: str) -> "Memory":
        is_begun = self.going_back_to or self.newest == release
        left = self.gone_back_from if is_begun else self.newest
        return Memory(self.releases, going_back_to=release, gone_back_from=left)

    def back_at(self, release: str) -> "Memory":
        """What came after it is not gone back to again."""
        place = [*self.releases, release].index(release)
        kept = self.releases[:place] if release in self.releases else ()
        return Memory((*kept, release), gone_back_from=self.gone_back_from)

    def annotations(self) -> dict[str, str | None]:
        return {
            "releases": " ".join(self.releases),
            "releasing": self.releasing,
            "going-back-to": self.going_back_to,
            "gone-back-from": self.gone_back_from,
        }


@dataclass(frozen=True)
class Cluster:
    objects: tuple[Object, ...] = ()

    @cached_property
    def _by_key(self) -> dict[str, Object]:
        return {key(thing): thing for thing in self.objects}

    def find(self, wanted: str) -> Object | None:
        return self._by_key.get(wanted)

    def of_kind(self, kind: str) -> list[Object]:
        return [thing for thing in self.objects if thing["kind"].lower() == kind]

    @property
    def selector(self) -> dict[str, str]:
        return at(self.find("service/web"), "spec", "selector") or {}

    @property
    def colour(self) -> str | None:
        """The one that traffic goes to; None where Service web chooses no colour."""
        return self.selector.get("colour")

    @property
    def serving(self) -> str:
        """The Deployment that Service web points to."""
        return f"web-{self.colour}" if self.colour else "web"

    @property
    def is_pinned(self) -> bool:
        return "pod-template-hash" in self.selector

    @property
    def memory(self) -> Memory:
        noted = at(self.find("service/web"), "metadata", "annotations") or {}
        releases = tuple(noted.get("releases", "").split())
        names = ("releasing", "going-back-to", "gone-back-from")
        return Memory(releases, *map(noted.get, names))

    def replicas(self, wanted: str) -> int:
        asked = at(self.find(wanted), "spec", "replicas")
        return int(wanted in self._by_key) if asked is None else int(asked)

    def replicasets(self, owners: Iterable[str]) -> list[Object]:
        """Newest last: what these Deployments ran, for as long as the cluster keeps it."""
        wanted = {("Deployment", owner) for owner in owners}
        found = [
            old
            for old in self.of_kind("replicaset")
            if wanted & {(by["kind"], by["name"]) for by in at(old, "metadata", "ownerReferences")}
        ]
        return sorted(found, key=lambda old: str(at(old, "metadata", "creationTimestamp")))
