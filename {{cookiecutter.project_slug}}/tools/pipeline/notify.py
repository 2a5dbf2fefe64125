"""Tells people how a run went, where NOTIFY_URL takes a message: a chat's incoming webhook."""

import json
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from .facts import Run

SECONDS = 10
WORDS = {"failure": "FAILED", "cancelled": "was stopped", "skipped": "was stopped"}
"""Of the outcomes of all jobs the worst counts, which stands first."""


def sentence(service: str, what: str, outcome: str, run: Run) -> str:
    how = next((words for name, words in WORDS.items() if name in outcome), "is done")
    return f"{service} {what} {how}: {run.by} {run.url}".rstrip()


def send(url: str, text: str) -> None:
    """A message that is not taken stops no release."""
    if urlsplit(url).scheme != "https":
        print(f"not sent, for NOTIFY_URL is no https URL: {text}")
        return
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=SECONDS).close()
    except urllib.error.URLError as error:
        print(f"not sent, for NOTIFY_URL does not take it: {error}", file=sys.stderr)
