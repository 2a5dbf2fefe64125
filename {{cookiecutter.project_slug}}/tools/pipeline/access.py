"""How a pipeline gets into a cluster without a key that lasts: by the token of the run itself.

The cluster trusts the pipeline's issuer, and RBAC says what a run for this environment may do. The
kubeconfig names a command instead of a secret; kubectl asks it for a token whenever it needs one.
"""

import base64
import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import Refused
from .facts import Place

AUDIENCE = "kubernetes"
SERVER, AUTHORITY, TOKEN = "KUBE_SERVER", "KUBE_CA", "KUBE_TOKEN"
ASK_AT, ASK_WITH = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
API = "client.authentication.k8s.io/v1"
SECONDS = 30


def write_kubeconfig(place: Place, environment: Mapping[str, str], project: Path) -> Path | None:
    """Its path, readable by its owner alone; None where nothing says which cluster: kubectl's own
    configuration counts then, as on a laptop.
    """
    if not (server := environment.get(SERVER)):
        return None
    if not (authority := environment.get(AUTHORITY)):
        raise Refused(f"{SERVER} is set and {AUTHORITY} is not: it is the cluster's CA, in base64")
    file = project / ".local" / f"kubeconfig-{place.name}"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(kubeconfig(place.context, server, authority, project)))
    return file


def kubeconfig(context: str, server: str, authority: str, project: Path) -> dict[str, Any]:
    command = {
        "apiVersion": API,
        "command": sys.executable,
        "args": ["-m", "tools.pipeline", "token"],
        "env": [{"name": "PYTHONPATH", "value": str(project)}],
        "interactiveMode": "Never",
    }
    cluster = {"server": server, "certificate-authority-data": authority}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": {"exec": command}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }


def credential(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What kubectl reads: GitLab puts the token into the job, GitHub gives one to who asks."""
    token = environment.get(TOKEN) or _asked(environment)
    expires = json.loads(_decoded(token.split(".")[1]))["exp"]
    status = {"token": token, "expirationTimestamp": _moment(expires)}
    return {"apiVersion": API, "kind": "ExecCredential", "status": status}


def _asked(environment: Mapping[str, str]) -> str:
    if not (url := environment.get(ASK_AT)):
        raise Refused(f"no token: the job needs `id-token: write`, or {TOKEN} from `id_tokens`")
    headers = {"Authorization": f"Bearer {environment[ASK_WITH]}"}
    request = urllib.request.Request(f"{url}&audience={AUDIENCE}", headers=headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return str(json.load(answer)["value"])


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
