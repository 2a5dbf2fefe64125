"""Every overlay with every set of components: built without a word, valid by closed schemas, hardened.

What `make check` of a project looks for has its tests there; here is what is too slow or too heavy for each.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from cookiecutter.main import cookiecutter

from .conftest import FOLDER, ROOT, Bake, Baked, template_files
from .tools_apart import of_npm, of_pypi

Object = dict[str, Any]
KUBERNETES = ["1.34", "1.37"]
"""The oldest that the manifests ask for, and the newest whose schemas there are."""
TYPES = {
    "argoproj.io": "@kubernetes-models/argo-rollouts@2.0.0",
    "external-secrets.io": "@kubernetes-models/external-secrets@2.0.0",
    "gateway.networking.k8s.io": "@kubernetes-models/gateway-api@2.0.0",
    "keda.sh": "@kubernetes-models/keda@2.0.0",
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator@6.0.0",
}
"""Types made of the operators' own definitions. Those packages' own `validate()` lets unknown fields pass; TypeScript
does not."""
COMPILER = "typescript@7.0.2"
SKIPPED = {
    "CKV_K8S_11": {"web", "worker", "scheduler", "migrate-unreleased", "redis", "rabbitmq"},
    "CKV_K8S_15": {"web", "worker", "scheduler", "migrate-unreleased", "redis", "rabbitmq"},
    "CKV_K8S_40": {"redis", "rabbitmq"},
    "CKV_K8S_43": {"redis", "rabbitmq"},
}
"""Each has its reason in an annotation of the object."""


@cache
def folders(kind: str) -> list[str]:
    """The overlays, or the components."""
    pattern = rf"^deploy/kubernetes/{kind}/([\w-]+)/kustomization\.yaml$"
    return sorted(re.findall(pattern, "\n".join(template_files()), re.MULTILINE))


def sets(overlay: str) -> list[tuple[str, ...]]:
    """Sets of components that can be together: two brokers at once would be a fault of the settings.

    Of production each pair and all, for what one patches another may take away; every set where MATRIX is set.
    Where only values differ, each by itself and all.
    """
    names = folders("components")
    every = [chosen for size in range(len(names) + 1) for chosen in combinations(names, size)]
    apart = [chosen for chosen in every if not {"redis", "rabbitmq"} <= set(chosen)]
    if overlay == "production" and os.environ.get("MATRIX"):
        return apart
    sizes = (0, 1, 2, len(names) - 1) if overlay == "production" else (0, 1, len(names) - 1)
    return [chosen for chosen in apart if len(chosen) in sizes]


def built(baked: Baked, overlay: str, components: Iterable[str] = ()) -> str:
    """What kustomize makes of it, without a word on the side."""
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("there is no kubectl here, and Debian has none that is new enough: kubernetes.io/docs/tasks/tools")
    folder = baked.path / "deploy" / "kubernetes" / "overlays" / overlay
    file = folder / "kustomization.yaml"
    before = file.read_text(encoding="utf-8")
    paths = [f"../../components/{name}" for name in components]
    file.write_text(yaml.safe_dump(yaml.safe_load(before) | {"components": paths}), encoding="utf-8")
    made = subprocess.run([str(kubectl), "kustomize", str(folder)], capture_output=True, text=True)
    file.write_text(before, encoding="utf-8")
    assert (made.returncode, made.stderr) == (0, ""), f"{overlay} {paths}: {made.stderr}"
    return made.stdout


def objects(text: str) -> list[str]:
    return [part for part in text.split("\n---\n") if part.strip()]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Baked:
    """The default product, for many tests that change nothing of it."""
    folder = tmp_path_factory.mktemp("manifests")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HOME", str(folder))
        made = cookiecutter(str(ROOT), no_input=True, default_config=True, output_dir=str(folder))
    return Baked(Path(made))


@pytest.fixture(scope="module")
def everything(product: Baked) -> list[str]:
    """Each object of each overlay, alone and with all that can be together, once."""
    found = set[str]()
    for overlay in folders("overlays"):
        most = max(map(len, sets(overlay)))
        for chosen in (chosen for chosen in sets(overlay) if len(chosen) in (0, most)):
            found.update(objects(built(product, overlay, chosen)))
    return sorted(found)


@pytest.mark.parametrize("overlay", folders("overlays"))
def test_components_go_together_without_a_word_and_each_does_what_it_does_alone(product: Baked, overlay: str) -> None:
    made = {chosen: named(built(product, overlay, chosen)) for chosen in sets(overlay)}
    plain = made[()]
    for chosen, names in made.items():
        added = set().union(*(made[(name,)] - plain for name in chosen))
        taken = set().union(*(plain - made[(name,)] for name in chosen))
        assert names == (plain | added) - taken, chosen


def named(text: str) -> set[str]:
    """Kinds and names of all objects, of which none is there twice; the hash of what is in a ConfigMap left out."""
    names = [re.sub("-[a-z0-9]{10}$", "", title(each)) for each in objects(text)]
    assert len(set(names)) == len(names)
    return set(names)


def title(text: str) -> str:
    thing = yaml.safe_load(text)
    return f"{thing['kind']}/{thing['metadata']['name']}"


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(everything: list[str], version: str) -> None:
    assert schema_faults(everything, version) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("readOnlyRootFilesystem", "readOnlyRootFileSystem"),
        ("restartPolicy: Never", "restartPolicy: 0"),
        ("whenUnsatisfiable", "whenNotSatisfiable"),
        ("unhealthyPodEvictionPolicy", "unhealthyPodEviction"),
        ("claimName", "claim"),
        ("pathType", "type"),
    ],
)
def test_a_field_that_kubernetes_does_not_know_is_seen(everything: list[str], right: str, wrong: str) -> None:
    seeded = next(text for text in everything if right in text).replace(right, wrong, 1)
    (found,) = schema_faults([seeded], KUBERNETES[-1])
    assert found.startswith("ERROR"), found


def schema_faults(things: list[str], version: str) -> list[str]:
    programs = of_pypi("manifests", ROOT / FOLDER / "requirements-manifests.txt")
    made = subprocess.run(
        [str(programs / "kubernetes-validate"), "--strict", "--quiet", "--kubernetes-version", version, "-"],
        input="\n---\n".join(things),
        capture_output=True,
        text=True,
    )
    lines = (made.stdout + made.stderr).splitlines()
    return [line for line in lines if not (re.match("WARN .*Couldn't find schema", line) and of_an_operator(line))]


def of_an_operator(line: str) -> bool:
    """Whether it is passed over because its types are looked at elsewhere."""
    return any(f"api version {group}/" in line for group in TYPES)


def test_the_operators_know_every_field(everything: list[str], tmp_path: Path) -> None:
    theirs = [thing for thing in map(yaml.safe_load, everything) if group_of(thing) in TYPES]
    assert {group_of(thing) for thing in theirs} == set(TYPES)
    assert type_faults(theirs, tmp_path) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("scaleDown: progressively", "scaleDowns: progressively"),
        ("failureLimit: 1", "failureLimits: 1"),
        ("minReplicaCount", "minReplicas"),
        ("secretTargetRef", "secretTarget"),
        ("podMetricsEndpoints", "podMetricEndpoints"),
        ("backendRefs", "backends"),
        ("refreshInterval: 1h", "refreshInterval: 1"),
        ("secretStoreRef", "secretStore"),
    ],
)
def test_a_field_that_an_operator_does_not_know_is_seen(
    everything: list[str], tmp_path: Path, right: str, wrong: str
) -> None:
    seeded = next(text for text in everything if right in text).replace(right, wrong, 1)
    assert len(type_faults([yaml.safe_load(seeded)], tmp_path)) == 1


def group_of(thing: Object) -> str:
    return str(thing["apiVersion"].partition("/")[0])


def type_faults(things: list[Object], folder: Path) -> list[str]:
    home = of_npm("operators", [COMPILER, *TYPES.values()])
    lines = []
    for number, thing in enumerate(things):
        group, _, version = thing["apiVersion"].partition("/")
        package, kind = TYPES[group].rpartition("@")[0], thing["kind"]
        lines += [
            f'import type {{ I{kind} as T{number} }} from "{package}/{group}/{version}/{kind}";',
            f"export const o{number}: T{number} = {json.dumps(thing)};",
        ]
    (folder / "objects.ts").write_text("\n".join(lines) + "\n", encoding="utf-8")
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(home / "node_modules")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"]
    compiler = home / "node_modules" / ".bin" / "tsc"
    made = subprocess.run([str(compiler), *options, "objects.ts"], cwd=folder, capture_output=True, text=True)
    return [line for line in made.stdout.splitlines() if ": error " in line]


def test_checkov_finds_nothing_but_what_has_its_reason_and_sees_defects(everything: list[str], tmp_path: Path) -> None:
    """One run, for it takes its time to begin."""
    released = [pinned(text) for text in everything]
    (tmp_path / "released.yaml").write_text("\n---\n".join(released), encoding="utf-8")
    web = next(text for text in released if title(text) == "Deployment/web")
    for number, (right, wrong, _) in enumerate(WEAKNESSES):
        assert right in web
        (tmp_path / f"seeded{number}.yaml").write_text(web.replace(right, wrong, 1), encoding="utf-8")
    results = checkov(tmp_path)
    failed = {(Path(each["file_path"]).name, each["check_id"]) for each in results["failed_checks"]}
    assert {check for file, check in failed if file == "released.yaml"} == set()
    for number, (*_, check) in enumerate(WEAKNESSES):
        assert (f"seeded{number}.yaml", check) in failed
    skipped = [each for each in results["skipped_checks"] if each["file_path"].endswith("released.yaml")]
    found: dict[str, set[str]] = {}
    for each in skipped:
        assert len(each["check_result"]["suppress_comment"]) > 20, each["check_id"]
        found.setdefault(each["check_id"], set()).add(each["resource"].split(".")[-1])
    assert found == SKIPPED


WEAKNESSES = [
    ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "CKV_K8S_22"),
    ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "CKV_K8S_20"),
    ("automountServiceAccountToken: false", "automountServiceAccountToken: true", "CKV_K8S_38"),
    ("runAsNonRoot: true\n        runAsUser: 10001", "runAsNonRoot: false\n        runAsUser: 0", "CKV_K8S_23"),
    ("runAsUser: 10001", "runAsUser: 999", "CKV_K8S_40"),
    ("livenessProbe", "livelyProbe", "CKV_K8S_8"),
    ("readinessProbe", "readyProbe", "CKV_K8S_9"),
    ("type: RuntimeDefault", "type: Unconfined", "CKV_K8S_31"),
    ("@sha256:", ":tag-", "CKV_K8S_43"),
    ("- configMapRef:", "- secretRef: {name: secrets}\n        - configMapRef:", "CKV_K8S_35"),
]


def pinned(text: str) -> str:
    """By digest, as the command that releases makes it."""
    return re.sub(r"(image: \S+):unreleased", r"\1@sha256:" + "0" * 64, text)


def checkov(folder: Path) -> Any:
    programs = of_pypi("checkov", ROOT / "requirements-checkov.txt")
    options = ["--framework", "kubernetes", "--skip-download", "--compact", "--output", "json"]
    made = subprocess.run(
        [str(programs / "checkov"), "--directory", str(folder), *options], capture_output=True, text=True, timeout=300
    )
    return json.loads(made.stdout)["results"]


@pytest.mark.parametrize("slug", ["z", "quartz-zebra", "a" * 40])
def test_base_and_components_know_no_project_and_overlays_know_theirs(bake: Bake, slug: str) -> None:
    baked = bake(project_slug=slug)
    for name in baked.files:
        if name.startswith(("deploy/kubernetes/base/", "deploy/kubernetes/components/")) and len(slug) > 1:
            assert slug not in baked.text(name), name
    for overlay in folders("overlays"):
        spaces = {yaml.safe_load(text)["metadata"].get("namespace") for text in objects(built(baked, overlay))}
        assert spaces == {None, f"{slug}-{overlay}"}
        assert len(f"{slug}-{overlay}") <= 63


def test_a_word_of_kustomize_on_the_side_is_seen(bake: Bake) -> None:
    baked = bake()
    file = baked.path / "deploy" / "kubernetes" / "base" / "kustomization.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "commonLabels: { a: b }\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="deprecated"):
        built(baked, "production")
