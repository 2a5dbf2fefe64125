"""What `make check` looks for in deploy/: quiet on this project, and loud on a seeded defect."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tools.environments import PROJECT, executable
from tools.manifests import compose, copies, environments, schema
from tools.manifests.__main__ import VARIANTS, of_build, of_files, run, variants
from tools.manifests.build import FOLDER, Build, build, kustomize, parsed, title
from tools.scan import MissingTool

OVERLAY = FOLDER / "overlays" / "production" / "kustomization.yaml"
SIZE = OVERLAY.with_name("size.yaml")
ENVIRONMENT = copies.ENVIRONMENTS / "production.yaml"
SETTINGS = ENVIRONMENT.with_suffix(".env")
DEFECTS = """
claimName: redis → claimName: lost
    StatefulSet redis: there is no PersistentVolumeClaim
kind: PersistentVolumeClaim → kind: Secret
    there is no PersistentVolumeClaim redis
serviceAccountName: app → serviceAccountName: lost
    there is no ServiceAccount lost
name: settings- → name: lost-
    there is no ConfigMap settings-
secretName: secrets → secretName: lost
    nobody makes a Secret lost
/tmp⏎          name: tmp → /tmp⏎          name: top
    there is no volume top
selector:⏎    app.kub → selector:⏎    app.kubernetes.io/version: a⏎    app.kub
    a version
matchLabels:⏎      app.kub → matchLabels:⏎      app.kubernetes.io/version: a⏎      app.kub
    scheduler selects a version
selector:⏎    app.kubernetes.io/name: web → selector:⏎    app.kubernetes.io/name: wob
    Service web selects no pod
⏎      app.kubernetes.io/name: scheduler → ⏎      app.kubernetes.io/name: web
    scheduler does not select its own pods
redis⏎        app.kubernetes.io/part-of → redis⏎        app.kubernetes.io/version
    StatefulSet redis is of a release, and each would restart it
image: redis:8 → image: redis:7
    StatefulSet redis is redis:7.8.0, where compose.yaml has redis:8
targetPort: http → targetPort: https
    Service web: no pod has a port https
name: http⏎        path: /hooks → name: grpc⏎        path: /hooks
    there is no Service web with a port grpc
port: 80⏎    matches → port: 81⏎    matches
    HTTPRoute web: there is no Service web with a port 81
path: /metrics⏎    port: metrics → path: /metrics⏎    port: figures
    PodMonitor app: no pod has a port figures
port: redis → port: radis
    no pod has a port radis
kind: Rollout⏎    name: web → kind: Rollout⏎    name: wob
    scales Rollout wob, which is not there
kind: Rollout⏎    name: web → kind: Deployment⏎    name: worker
    Deployment worker is scaled by both
scaleTargetRef:⏎    name: worker → scaleTargetRef:⏎    name: walker
    scales Deployment walker, which is
strategy:⏎    rollingUpdate:⏎      maxSurge: 50% → replicas: 2⏎  strategy:
    has replicas, which its autoscaler counts
templateName: web → templateName: wob
    there is no AnalysisTemplate wob
rollbackWindow: → paused: false⏎  analysis:
    Rollout web goes back as slowly as it goes on
authenticationRef:⏎      name: database → authenticationRef:⏎      name: base
    no TriggerAuthentication base
podSelector: {}⏎  policyTypes:⏎  - Ingress⏎ → podSelector: {}⏎  policyTypes:⏎
    no NetworkPolicy denies
- 10.0.0.0/8⏎        - 100 → - 100
    https: 0.0.0.0/0 has 10.0.0.0/8 in it
169.254.0.0/16⏎ → 169.254.1.0/24⏎
    0.0.0.0/0 has 169.254.169.254/32 in it, where a cloud gives out
- fc00::/7⏎        - fe80 → - fe80
    ::/0 has fc00::/7 in it
cidr: 169.254.20.10/32 → cidr: 169.254.0.0/16
    dns: 169.254.0.0/16 has 169.254.169.254/32
port: 443 → port: 22
    https: 0.0.0.0/0 may be asked on 22
to:⏎    - ipBlock:⏎        cidr: 0 → for:⏎    - ipBlock:⏎        cidr: 0
    its egress is open to the world
ports:⏎    - port: 443⏎      protocol: TCP⏎ → portals: []⏎
    its egress is open on all ports
- podSelector:⏎        matchLabels:⏎          app.kubernetes.io/name: redis → - podSelector: {}
    its egress is open to every pod
from:⏎    - namespaceSelector → form:⏎    - namespaceSelector
    its ingress is open to the world
path: /hooks → path: /hocks
    Ingress web does not route /hooks/x
value: /hooks → value: /hocks
    HTTPRoute web does not route /hooks/x
path: /openapi.json → path: /metrics
    Ingress web routes /metrics, which is not for the world
path: /chat → path: /
    Ingress web routes /ready, which is not for the world
type: Exact⏎        value: /health → type: PathPrefix⏎        value: /
    HTTPRoute web routes /ready
ingressClassName: → defaultBackend: {service: {name: web, port: {name: http}}}⏎  ingressClassName:
    Ingress web routes /metrics
enforce: restricted → enforce: baseline
    pod-security.kubernetes.io/enforce is not restricted
automountServiceAccountToken: false⏎kind → automountServiceAccountToken: true⏎kind
    it gets a token, and
automountServiceAccountToken: false⏎      con → con
    it gets a token: automount
runAsNonRoot: true → runAsNonRoot: false
    it may run as root
type: RuntimeDefault → type: Unconfined
    it may call all of the kernel
enableServiceLinks: false → hostNetwork: true
    it sees the machine: hostNetwork
allowPrivilegeEscalation: false → allowPrivilegeEscalation: true
    it may gain privileges
readOnlyRootFilesystem: true → readOnlyRootFilesystem: false
    it may write its own files
drop:⏎            - ALL → drop:⏎            - NET_RAW
    it has capabilities
cpu: 50m → nvidia.com/gpu: 1
    nobody knows how big it is
- serve → - server
    ['server'] is no command
containerPort: 9100 → containerPort: 9101
    metrics is another port than METRICS_PORT
containerPort: 8000⏎          name: http → containerPort: 8000⏎          name: web
    nothing of ours has a port web
name: RELEASE → name: RELAESE
    RELAESE is no setting
LOG_LEVEL: INFO → LOG_LEVELS: INFO
    LOG_LEVELS is no setting
LOG_LEVEL: INFO → LOG_LEVEL: LOUD
    LOG_LEVEL=LOUD: Input should be
LOG_LEVEL: INFO → LOG_LEVEL_FILE: /run/secrets/app/LOG_LEVEL
    LOG_LEVEL_FILE is no setting
redis://redis → redis://:password@redis
    BROKER_URL is a secret, and what is said here is not
LOG_LEVEL: INFO → SECRET_KEY: of-at-least-as-many-letters-as-that
    SECRET_KEY is a secret, and what is said here is not
BROKER_URL_FILE: → BROKER_URL: 'pgmq:'⏎  BROKER_URL_FILE:
    BROKER_URL and BROKER_URL_FILE are both
/app/SECRET_KEY → /SECRET_KEY
    SECRET_KEY_FILE=/run/secrets/SECRET_KEY is no file of a Secret
/app/SECRET_KEY → /app/SECRET
    SECRET_KEY_FILE=/run/secrets/app/SECRET is no file of a Secret
path: /ready⏎            port: h → path: /readyz⏎            port: h
    nothing answers /readyz on http
path: /health⏎            port: m → path: /healthz⏎            port: m
    nothing answers /healthz on metrics
port: metrics⏎ → port: http⏎
    a probe asks the port http, which is not there
path: /ready⏎            port: h → path: /health⏎            port: h
    Deployment web: it takes the place of another before it can do its work
path: /ready⏎            port: m → path: /health⏎            port: m
    Deployment scheduler: it takes the place of another before it can do its work
startupProbe → startingProbe
    a probe is missing
terminationGracePeriodSeconds: 45 → terminationGracePeriodSeconds: 35
    killed before 8 + 25 + 6.5
terminationGracePeriodSeconds: 40 → terminationGracePeriodSeconds: 30
    killed before 0 + 25 + 6.5
sleep:⏎              seconds: 8 → exec: {command: [sleep]}
    requests still come when it has stopped
runAsUser: 10001 → runAsUser: 10002
    it runs as another user than the image's
targetQueryValue: "70" → targetQueryValue: "100"
    100 sessions for a worker of 100 places
key: DATABASE_URL → key: DATABASE_URI
    DATABASE_URI is no secret setting
http_requests_total{status → http_request_total{status
    there is no metric http_request_total
{status!~ → {state!~
    no metric has a label state
- rollouts-pod-template-hash → - lane
    no metric has a label rollouts_pod_template_hash
-production⏎ → -prod⏎
    -prod, where the environment says
minReplicas: 3 → minReplicas: 4
    replicas of web is 4, where the environment says 3
maxReplicas: 12 → maxReplicas: 13
    most of web is 13, where the environment says 12
minReplicaCount: 2 → minReplicaCount: 1
    replicas of worker is 1, where the environment says 2
maxReplicaCount: 20 → maxReplicaCount: 40
    most of worker is 40, where the environment says 20
replicas: 2⏎ → replicas: 3⏎
    replicas of scheduler is 3, where the environment says 2
cpu: 250m → cpu: 300m
    cpu of web is 300m, where the environment says 250m
memory: 768Mi → memory: 1Gi
    memory of worker is 1Gi, where the environment says 768Mi
registry.example.com → registry.example.org
    image is registry.example.org
ingressClassName: traefik → ingressClassName: nginx
    ingress class is nginx, where
namespace: traefik → namespace: other
    ingress namespace is other, where
name: traefik → name: other
    ingress namespace is other, where
LOG_LEVEL: INFO → LOG_LEVEL: WARNING
    LOG_LEVEL=WARNING, where the environment says INFO
LOG_LEVEL: INFO → LOG_LEVEL: INFO⏎  KEY_COST: "1"
    KEY_COST=1 is said by the overlay alone
⏎  - host:  → ⏎  - host: other.
    host is other.
hostnames:⏎  -  → hostnames:⏎  - other.
    host is other.
ALLOWED_HOSTS:  → ALLOWED_HOSTS: other.
    host is other.
"""
"""What is right → what is wrong, in what kustomize made, where ⏎ ends a line; and what is said."""


def absent(why: str) -> None:
    """A tool: without it a laptop skips, and CI fails."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


@pytest.fixture(autouse=True)
def _kustomize() -> None:
    try:
        kustomize()
    except MissingTool as why:
        absent(str(why))


@cache
def built(*variant: str) -> Build:
    return build(PROJECT, *variant)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what is looked at, which a test may damage."""
    shutil.copytree(PROJECT / "deploy", tmp_path / "deploy")
    for name in ("Dockerfile", "compose.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    return tmp_path


def damage(file: Path, right: str, wrong: str) -> None:
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong, 1))


@pytest.mark.parametrize("variant", variants(PROJECT), ids=" + ".join)
def test_what_kustomize_makes_is_well(variant: tuple[str, ...]) -> None:
    assert list(of_build(PROJECT, built(*variant))) == []


def test_every_component_is_looked_at() -> None:
    known = {folder.name for folder in (PROJECT / FOLDER / "components").iterdir()}
    assert {name for _, *names in VARIANTS for name in names} == known


def test_what_is_written_is_well() -> None:
    assert list(of_files(PROJECT)) == []


def wholes() -> Iterator[Build]:
    """Beginning with the one that has most in it."""
    return (built(*variant) for variant in (*VARIANTS, ("production",)))


def seeds() -> Iterator[tuple[str, str, str]]:
    lines = DEFECTS.strip().splitlines()
    for change, fault in zip(lines[::2], lines[1::2], strict=True):
        right, _, wrong = change.replace("⏎", "\n").partition(" → ")
        yield right, wrong, fault.strip()


@pytest.mark.parametrize(("right", "wrong", "fault"), list(seeds()))
def test_a_defect_is_seen(right: str, wrong: str, fault: str) -> None:
    whole = next(made for made in wholes() if right in made.text)
    seeded = replace(whole, text=whole.text.replace(right, wrong, 1))
    found = list(of_build(PROJECT, seeded))
    assert any(fault in said for said in found), found


def test_a_broker_that_is_full_refuses_before_it_is_killed() -> None:
    """Beside what it keeps it needs memory to write that down."""
    (redis,) = [one for one in next(wholes()).of("StatefulSet") if title(one).endswith("redis")]
    (container,) = redis["spec"]["template"]["spec"]["containers"]
    kept = re.findall(r"--maxmemory (\d+)mb", " ".join(container["args"]))
    limit = container["resources"]["limits"]["memory"].removesuffix("Mi")
    assert [int(most) * 3 < int(limit) * 2 for most in kept] == [True]
    service = parsed(PROJECT / "compose.production.yaml")["services"]["redis"]
    (most,) = re.findall(r"--maxmemory (\d+)mb", service["command"])
    limit = service["deploy"]["resources"]["limits"]["memory"].removesuffix("M")
    assert int(most) * 3 < int(limit) * 2


def test_a_canary_is_judged_by_the_bounds_of_the_alerts() -> None:
    groups = parsed(PROJECT / copies.ALERTS)["groups"]
    alerts = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    (template,) = next(wholes()).of("AnalysisTemplate")
    rate, p95 = template["spec"]["metrics"]
    assert 1 - bound(rate["successCondition"]) == pytest.approx(bound(alerts["ErrorRate"]))
    assert bound(p95["successCondition"]) == bound(alerts["SlowAnswers"])
    for metric, alert in [(rate, "ErrorRate"), (p95, "SlowAnswers")]:
        asked = metric["provider"]["prometheus"]["query"]
        assert re.findall('route!~"(.*?)"', asked) == re.findall('route!~"(.*?)"', alerts[alert])


def bound(expression: str) -> float:
    """The number at its end."""
    return float(re.findall(r"[<>]=? ([\d.]+)\s*$", expression)[0])


def test_what_kustomize_warns_of_is_a_fault() -> None:
    warned = replace(built("production"), said="# Warning: 'commonLabels' is deprecated")
    assert list(of_build(PROJECT, warned)) == [f"production: {warned.said}"]


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        (
            "readOnlyRootFilesystem",
            "readOnlyRootFileSystem",
            "'readOnlyRootFileSystem' was unexpected",
        ),
        ("minReadySeconds: 5", "minReadySecond: 5", "'minReadySecond' was unexpected"),
        ("maxUnavailable: 0", "maxUnavailable: []", "[] is not valid"),
        ("policyTypes:", "policyType:", "'policyType' was unexpected"),
    ],
)
def test_a_field_that_kubernetes_does_not_know_is_seen(right: str, wrong: str, fault: str) -> None:
    if not (executable("manifests", "ready").parents[1] / "ready").exists():
        absent("`make check` has not installed kubernetes-validate yet")
    texts = [text for text in built("production").text.split("\n---\n") if right in text]
    assert list(schema.faults([replace(built("production"), text=texts[0])])) == []
    seeded = replace(built("production"), text=texts[0].replace(right, wrong, 1))
    (found,) = schema.faults([seeded])
    assert fault in found


@pytest.mark.parametrize(
    ("file", "right", "wrong", "fault"),
    [
        (SIZE, "cpu: 250m", "cpu: 1", "cpu of web is 1, where the environment says 250m"),
        (OVERLAY, "value: 12 }", "value: 24 }", "most of web is 24, where the environment says 12"),
        (OVERLAY, "count: 2", "count: 1", "replicas of scheduler is 1, where the environment"),
        (OVERLAY, "components: []", "commonLabels: { a: b }", "Warning: 'commonLabels' is deprec"),
        (OVERLAY, "size.yaml", "seize.yaml", "seize.yaml"),
        (ENVIRONMENT, "web: 3", "web: 4", "replicas of web is 3, where the environment says 4"),
        (ENVIRONMENT, "worker: 20", "worker: 1", "worker: 2 replicas, and 1 at most"),
        (ENVIRONMENT, "rolling #", "hoping #", "strategy hoping: it is one of rolling, blue-green"),
        (
            ENVIRONMENT,
            "context:",
            "contexts:",
            "context None: it is kubectl's name for the cluster",
        ),
        (ENVIRONMENT, "approvals: 1", "approvals: -1", "approvals -1: it is a number of people"),
        (SETTINGS, "=production", "=prod", "ENVIRONMENT=prod in production.env"),
        (SETTINGS, "LOG_LEVEL=INFO", "LOG_LEVEL=DEBUG", "LOG_LEVEL=INFO, where the environment"),
        (SETTINGS, "LOG_LEVEL=INFO", "LOG_LEVEL=DEBUG", "settings.env is not what it is made of"),
        (copies.ALERTS, "for: 5m", "for: 6m", "rules.yaml is not what it is made of"),
        (copies.RULES, "for: 5m", "for: 6m", "rules.yaml is not what it is made of"),
    ],
)
def test_a_file_that_says_something_else_is_seen(
    project: Path, file: Path, right: str, wrong: str, fault: str
) -> None:
    damage(project / file, right, wrong)
    assert any(fault in said for said in looked_at(project))


def looked_at(project: Path) -> Iterator[str]:
    """What is found; built only where the files don't say it."""
    yield from of_files(project)
    yield from of_build(project, build(project, "production"))


def test_what_is_copied_follows(project: Path) -> None:
    damage(project / SETTINGS, "LOG_LEVEL=INFO", "LOG_LEVEL=DEBUG")
    copies.write(project)
    assert list(copies.faults(project)) == []
    assert build(project, "production").settings["LOG_LEVEL"] == "DEBUG"


COMPOSE = """
services:
  proxy: { environment: { DOMAIN: HOST } }
  web: &app
    image: IMAGE:${RELEASE}
    env_file: [deploy/environments/production.env]
    deploy: { replicas: 3, resources: { limits: { memory: 512M } } }
  worker:
    <<: *app
    deploy: { replicas: 2, resources: { limits: { memory: 768M } } }
  scheduler:
    <<: *app
    deploy: { replicas: 2, resources: { limits: { memory: 256M } } }
"""
STAGING = """
services:
  proxy: { environment: { DOMAIN: HOST } }
  web: &settings
    env_file: deploy/environments/staging.env
    deploy: { replicas: 2 }
  worker: *settings
  scheduler: *settings
"""


def write(project: Path, name: str, text: str) -> None:
    said = environments.described(project, name)
    text = text.replace("HOST", said["host"]).replace("IMAGE", said["image"])
    (project / f"compose.{name}.yaml").write_text(text)


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("replicas: 3", "replicas: 1", "replicas of web is 1, where the environment says 3"),
        ("768M", "768", "memory of worker is 768, where the environment says 768Mi"),
        ("256M", "1G", "memory of scheduler is 1G, where the environment says 256Mi"),
        ("production.env", "staging.env", "web is not given deploy/environments/production.env"),
        ("HOST", "localhost", "its proxy is not told the host"),
        ("IMAGE", "other", "image of web is other:${RELEASE}, and not"),
    ],
)
def test_a_compose_file_that_says_something_else_is_seen(
    project: Path, right: str, wrong: str, fault: str
) -> None:
    assert list(compose.in_environment(project, "production")) == []
    write(project, "production", COMPOSE)
    assert list(compose.in_environment(project, "production")) == []
    write(project, "production", COMPOSE.replace(right, wrong, 1))
    assert next(compose.in_environment(project, "production")).startswith(fault)


def test_the_compose_file_of_staging_says_only_how_it_differs(project: Path) -> None:
    write(project, "production", COMPOSE)
    write(project, "staging", STAGING)
    assert list(compose.in_environment(project, "staging")) == []
    write(project, "staging", STAGING.replace("replicas: 2", "replicas: 5"))
    assert len(list(compose.in_environment(project, "staging"))) == 3


@pytest.mark.parametrize("is_pipeline", [True, False])
def test_without_a_tool_a_laptop_skips_loudly_and_a_pipeline_fails(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_pipeline: bool,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run(project, is_pipeline=is_pipeline) == is_pipeline
    assert capsys.readouterr().out.startswith("manifests SKIPPED: there is no kustomize")


def test_a_fault_is_told_once_and_fails(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema, "faults", lambda _: ["a field", "a field"])
    monkeypatch.setattr("tools.manifests.__main__.variants", lambda _: [("production",)])
    damage(project / copies.RULES, "for: 5m", "for: 6m")
    assert run(project, is_pipeline=False) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{copies.RULES} is not what it is made of: run `make format`"
    assert second == "a field"
