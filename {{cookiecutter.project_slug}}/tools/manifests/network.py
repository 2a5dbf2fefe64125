"""Who may reach what: nobody, but for what is listed, and never everything."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from .build import Build, Object, title
from .references import mentions

Network = IPv4Network | IPv6Network
IPV4 = "10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16"
IPV6 = "fc00::/7 fe80::/10 ::ffff:0:0/96"
PRIVATE = [ip_network(text) for text in f"{IPV4} {IPV6}".split()]
"""In which other people's services are."""
CREDENTIALS = ip_network("169.254.169.254/32")
OUTSIDE = {443, 465, 587}
"""The web, and who takes mail from people who sign in."""
INSIDE = {"/metrics", "/ready"}
"""What is told to the cluster alone."""


def faults(build: Build, public: Sequence[str]) -> Iterator[str]:
    if not any(_denies_all(policy["spec"]) for policy in build.of("NetworkPolicy")):
        yield "no NetworkPolicy denies what no other allows"
    for policy in build.of("NetworkPolicy"):
        for side in ("egress", "ingress"):
            for rule in policy["spec"].get(side, []):
                yield from (f"{title(policy)}: {fault}" for fault in _in_rule(side, rule))
    yield from _in_routes(build, public)


def _denies_all(spec: Object) -> bool:
    sides = set(spec["policyTypes"]) == {"Egress", "Ingress"}
    return sides and not (spec["podSelector"] or spec.get("egress") or spec.get("ingress"))


def _in_rule(side: str, rule: Object) -> Iterator[str]:
    peers = rule.get("to" if side == "egress" else "from")
    if not peers or not rule.get("ports"):
        yield f"its {side} is open {'on all ports' if peers else 'to the world'}"
        return
    ports = {port.get("port") for port in rule["ports"]}
    for peer in peers:
        if "ipBlock" in peer:
            yield from _in_block(peer["ipBlock"], ports)
        elif not any(peer.get(key) for key in ("podSelector", "namespaceSelector")):
            yield f"its {side} is open to every pod"


def _in_block(block: Object, ports: set[Any]) -> Iterator[str]:
    allowed = ip_network(block["cidr"])
    out = [ip_network(text) for text in block.get("except", [])]
    if _within(CREDENTIALS, allowed) and not any(_within(CREDENTIALS, each) for each in out):
        yield f"{allowed} has {CREDENTIALS} in it, where a cloud gives out credentials"
    if any(_within(allowed, private) for private in PRIVATE):
        return
    if more := ports - OUTSIDE:
        yield f"{allowed} may be asked on {', '.join(sorted(map(str, more)))}"
    for private in PRIVATE:
        if _within(private, allowed) and not any(_within(private, each) for each in out):
            yield f"{allowed} has {private} in it"


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _in_routes(build: Build, public: Sequence[str]) -> Iterator[str]:
    """Everything public is routed, and nothing that is for the inside."""
    for thing in build.of("Ingress", "HTTPRoute"):
        routed = list(_routed(thing))
        for path in public:
            if not any(_covers(rule, path) for rule in routed):
                yield f"{title(thing)} does not route {path}"
        for path in sorted(INSIDE):
            if any(_covers(rule, path) for rule in routed):
                yield f"{title(thing)} routes {path}, which is not for the world"


def _routed(thing: Object) -> Iterator[tuple[str, str]]:
    """How, and what."""
    if thing["kind"] == "Ingress":
        for paths in mentions(thing, "paths"):
            yield from ((path["pathType"], path["path"]) for path in paths)
        yield from (("Prefix", "/") for _ in mentions(thing, "defaultBackend"))
        return
    for rule in thing["spec"]["rules"]:
        matches = rule.get("matches") or [{}]
        paths = [match.get("path", {"type": "PathPrefix", "value": "/"}) for match in matches]
        yield from ((path["type"], path["value"]) for path in paths)


def _covers(rule: tuple[str, str], path: str) -> bool:
    kind, routed = rule
    if kind == "Exact":
        return path == routed
    return kind not in {"Prefix", "PathPrefix"} or f"{path}/".startswith(f"{routed.rstrip('/')}/")
