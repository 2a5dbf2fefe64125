"""The image that is released: built once for both architectures, scanned, listed, signed.

Nothing is deployed that is not signed, and nothing is signed that was not scanned.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from . import Refused
from .facts import Run

TRIVY = "ghcr.io/aquasecurity/trivy:0.74.0"
ZAP = "ghcr.io/zaproxy/zaproxy:2.17.0"
PLATFORMS = "linux/amd64,linux/arm64"
TOLD = Path("build.json")
Commands = Sequence[Sequence[str]]


def build(image: str, *, release: str, **facts: str) -> Commands:
    """Pushed with its provenance and what is in it; TOLD says the digest. The facts become labels,
    and SOURCE_DATE_EPOCH its date, as with `make image`: the same commit gives the same layers.
    """
    attested = ("--provenance", "mode=max", "--sbom", "true", "--metadata-file", str(TOLD))
    told = [f"{name}={value}" for name, value in ({"RELEASE": release} | facts).items()]
    how = ("--platform", PLATFORMS, *(f"--build-arg={fact}" for fact in told), *attested)
    return [("docker", "buildx", "build", *how, "--tag", f"{image}:{release}", "--push", ".")]


def built(told: str, image: str, *, release: str) -> str:
    """The image by name, release and digest."""
    digest = json.loads(told).get("containerimage.digest")
    if not digest:
        raise Refused(f"{TOLD} has no digest: was the image pushed?")
    return f"{image}:{release}@{digest}"


def scan(image: str) -> Commands:
    """Both architectures of one that is in a registry, by the name and token that stand there."""
    login = ("--env", "TRIVY_USERNAME", "--env", "TRIVY_PASSWORD")
    return [_trivy(login, image, "--platform", each) for each in PLATFORMS.split(",")]


def scan_local(image: str) -> Commands:
    """One that is only in this machine's Docker."""
    return [_trivy(("--volume", "/var/run/docker.sock:/var/run/docker.sock:ro"), image)]


def _trivy(reach: Sequence[str], image: str, *options: str) -> Sequence[str]:
    """For what is high and has a remedy."""
    trivy = ("docker", "run", "--rm", *reach, TRIVY, "image", "--quiet", *options)
    return (*trivy, "--severity", "HIGH,CRITICAL", "--ignore-unfixed", "--exit-code", "1", image)


def sign(image: str) -> Commands:
    """By the identity of the run, for which no key is kept anywhere; and the bill of materials."""
    bill = ("--type", "cyclonedx", "--predicate", "sbom.json")
    return [
        ("cosign", "sign", "--yes", image),
        ("cosign", "attest", "--yes", *bill, image),
    ]


def verify(image: str, run: Run) -> Commands:
    """It was signed by this pipeline, for this tag, and by nobody else."""
    who = ("--certificate-identity", run.signer, "--certificate-oidc-issuer", run.issuer)
    return [("cosign", "verify", *who, image)]


def attack(url: str) -> Commands:
    """ZAP's baseline of every route in the API's own description: it looks, and breaks nothing.

    ZAP sends the key that stands in ZAP_AUTH_HEADER_VALUE.
    """
    here = f"{Path.cwd() / 'deploy' / 'security'}:/zap/wrk:ro"
    docker = ("docker", "run", "--rm", "--network", "host", "--volume", here)
    how = ("-f", "openapi", "-S", "-I", "-c", "zap.conf", "-t", f"{url}/openapi.json")
    return [(*docker, "--env", "ZAP_AUTH_HEADER_VALUE", ZAP, "zap-api-scan.py", *how)]
