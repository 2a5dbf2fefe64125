"""The smoke test: run in a pod that nobody is routed to yet, as `python - HOST < probe.py`."""

import os
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def status(path: str, data: bytes | None = None) -> int:
    url = f"http://127.0.0.1:{os.environ['PORT']}{path}"
    try:
        with urlopen(Request(url, data, {"Host": sys.argv[1]}), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as refused:
        return refused.code


found = [status("/health"), status("/ready"), status("/chat/sessions", b"{}")]
if found != [200, 200, 401]:
    sys.exit(f"/health, /ready and a stranger at /chat/sessions got {found}, not [200, 200, 401]")
