"""How long a message waits for a worker, and its sender for the answer, while there is no crowd.

The database itself takes the times: a trigger notes when the row of a session becomes ready, which
is just before the message is committed, and when a worker puts its lease on it.
"""

from collections.abc import Iterator
from time import perf_counter

import httpx2

from ..keys import AUTH
from .figures import Figure, p95
from .rig import NO_REDIS, Deploy, Rig

MESSAGES, WARM = 300, 30
MOST_TO_CLAIM = {"Redis": 12.0, "pgmq": 20.0}
MOST_TO_ANSWER = 60.0
SAY = {"text": "0 steps of 0 bytes"}
NOTE = """ALTER TABLE sessions ADD COLUMN ready_at timestamptz, ADD COLUMN claimed_at timestamptz;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.status = 'ready' AND OLD.status <> 'ready' THEN NEW.ready_at = clock_timestamp(); END IF;
    IF NEW.lease_owner > 0 AND OLD.lease_owner IS NULL THEN NEW.claimed_at = clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION note()"""
WAITED = """SELECT 1000 * extract(epoch FROM claimed_at - ready_at)::float FROM sessions
    ORDER BY ready_at OFFSET %(warm)s"""


def measure(rig: Rig) -> Iterator[Figure]:
    for broker, url in rig.brokers().items():
        if url is None:
            yield Figure(name=f"claims: {broker}", instead=NO_REDIS)
            continue
        with rig.deploy(url) as deploy:
            deploy.rows(NOTE)
            answered = converse(deploy)
            waited = [row[0] for row in deploy.rows(WAITED, warm=WARM)]
        bounded = {
            "accepted to claimed": (waited, MOST_TO_CLAIM[broker]),
            "POST to answer": (answered, MOST_TO_ANSWER),
        }
        for what, (values, most) in bounded.items():
            name = f"claims: {broker}, {what}, p95"
            yield Figure(name=name, value=p95(values), unit="ms", most=most)


def converse(deploy: Deploy) -> list[float]:
    """The milliseconds of each POST that says something, one after the other."""
    deploy.work()
    deploy.start("schedule")
    web = deploy.start("serve")
    with httpx2.Client(base_url=web.url, headers=AUTH, timeout=30) as client:
        return [_say(client) for _ in range(WARM + MESSAGES)][WARM:]


def _say(client: httpx2.Client) -> float:
    session = client.post("/chat/sessions").json()["session_id"]
    began = perf_counter()
    answer = client.post(f"/chat/sessions/{session}/messages", json=SAY)
    taken = 1000 * (perf_counter() - began)
    assert answer.status_code == httpx2.codes.OK, answer.text
    return taken
