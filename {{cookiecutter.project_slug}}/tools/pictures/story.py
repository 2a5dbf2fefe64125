"""What the pictures tell: some sessions of the example agent, one of which waits for a person."""

from typing import Any

import httpx2

AGENT = "release"
SAID = ("what runs where?", "deploy 1.4.2 to production")
BEFORE = ("deploy 1.4.1 to staging", "deploy 1.4.2 to staging", "deploy 1.4.2-broken to staging")


def tell(url: str, key: str) -> str:
    """The session that waits; before it some that went their way."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=40) as client:
        for words in BEFORE:
            say(client, words)
        return say(client, "what do you propose?", "release 1.4.3")


def say(client: httpx2.Client, *words: str) -> str:
    """The id of the session in which it was said, and answered."""
    session: str = answer(client.post("/chat/sessions", json={}))["session_id"]
    for text in words:
        answer(client.post(f"/chat/sessions/{session}/messages", json={"text": text}))
    return session


def answer(response: httpx2.Response) -> Any:
    return response.raise_for_status().json()
