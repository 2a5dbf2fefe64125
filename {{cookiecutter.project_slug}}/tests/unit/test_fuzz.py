"""What `make fuzz` makes of a report of schemathesis, and of the service's own count."""

import json
import tomllib
from random import Random

from tools.fuzz.__main__ import of_reach
from tools.fuzz.api import broken, read
from tools.fuzz.headers import USUAL, Outcome, Route, holds, mutated
from tools.fuzz.known import OWN, Known

ONE = {"value": {"method": "GET", "path": "/x"}}
OTHER = {"value": {"method": "post", "path": "/x"}}
FAILURE = {"operation": "GET /x", "title": "Server error", "message": "500\n  Internal"}
SCENARIO = {
    "recorder": {
        "label": "GET /x",
        "cases": {"a": ONE, "b": OTHER},
        "interactions": {"a": {"response": {"status_code": 204}}, "b": {}},
        "checks": {
            "a": [{"name": "not_a_server_error", "status": "success"}],
            "b": [{"name": "x", "status": "failure", "failure_info": {"failure": FAILURE}}],
        },
    }
}


def test_cases_and_faults_of_a_report_are_counted_by_route() -> None:
    outcome = Outcome()
    nothing_sent = {"ScenarioFinished": {"recorder": {"label": "GET /y"}}}
    error = {"NonFatalError": {"label": "GET /z", "value": {"message": "timed out"}}}
    lines = [{"Initialize": {}}, {"ScenarioFinished": SCENARIO}, nothing_sent, error]
    read([json.dumps(line) for line in lines], into=outcome)
    assert outcome.cases == 2
    assert outcome.answers == {("GET /x", 204): 1, ("POST /x", 0): 1}
    assert sorted(outcome.faults) == [
        "GET /x: Server error: 500 Internal",
        "GET /z: {'message': 'timed out'}",
    ]


def test_the_service_counts_what_broke_too() -> None:
    counted = 'http_requests_total{method="GET",route="/x",status="%s"} %s\n'
    assert broken(counted % (200, "7.0") + counted % (404, "1.0")) == 0
    ready = counted.replace("/x", "/ready")
    assert broken(ready % (503, "4.0") + ready % (500, "1.0")) == 1
    assert broken(counted % (500, "2.0") + counted % (200, "7.0") + counted % (503, "1.0")) == 3


def reached(*answers: tuple[str, int, int]) -> dict[str, tuple[float, bool]]:
    """The figures of a run with so many answers to each route, and whether one is over."""
    every = [Route("GET", "/a/{session_id}", {}), Route("POST", "/b", {}), Route("GET", "/c", {})]
    every += [Route("POST", "/hooks/{sender}", {}, wants_key=False)]
    sent = Outcome()
    for name, status, times in answers:
        sent.answers[name, status] += times
    return {f.name.partition(": ")[2]: (f.value or 0, f.is_over) for f in of_reach(sent, every)}


def test_a_run_that_is_refused_at_the_door_or_finds_nothing_is_no_run() -> None:
    one, rest = "GET /a/{session_id}", [("POST /b", 201, 100), ("GET /c", 200, 100)]
    signed = ("POST /hooks/{sender}", 401, 100)
    well = reached((one, 200, 60), (one, 404, 40), signed, *rest)
    assert well == {
        "routes asked": (4, False),
        "let in, of what wants a key": (100, False),
        "found its session": (60, False),
        "routes that did their work": (3, False),
    }
    refused = reached((one, 401, 100), signed, *rest)
    let_in, is_over = refused["let in, of what wants a key"]
    assert (round(let_in), is_over) == (67, True)
    limited = reached((one, 200, 60), (one, 429, 40), ("POST /b", 201, 100), signed)
    assert [name for name, (_, is_over) in limited.items() if is_over] == [
        "routes asked",
        "let in, of what wants a key",
        "routes that did their work",
    ]
    lost = reached((one, 404, 90), (one, 409, 10), signed, *rest)
    assert lost["found its session"] == (10, True)
    assert lost["routes that did their work"] == (2, True)


def test_what_exists_is_told_to_schemathesis_in_its_own_form() -> None:
    known = Known(["s1", "s2"], ["s2"], ["s3"], ["c1"])
    told = tomllib.loads(known.settings())
    assert told["dictionaries"]["doomed"] == {"values": ["s3"]}
    assert told["parameters"]["path.request_id"]["dictionary"] == "requests"
    own = {of["include-name"]: of["parameters"] for of in told["operations"]}
    assert {of: own[of]["path.session_id"]["dictionary"] for of in own} == OWN
    assert set(told["dictionaries"]) >= set(OWN.values())


def test_an_answer_is_held_to_its_description() -> None:
    route = Route("GET", "/x", {"200": {"application/json"}, "204": set(), "500": {"a/b"}})
    assert not route.fault(200, "application/json; charset=utf-8")
    assert not route.fault(204, "")
    assert (
        route.fault(200, "text/html") == "GET /x answers 200 as text/html, not ['application/json']"
    )
    assert "as nothing" in route.fault(200, "")
    assert "not documented" in route.fault(201, "application/json")
    assert "answers 500" in route.fault(500, "a/b")


def test_a_key_that_is_none_opens_no_route_that_wants_one() -> None:
    route = Route("GET", "/x", {"200": {"a/b"}, "401": {"a/b"}})
    assert "to a key that is none" in route.fault(200, "a/b", is_known=False)
    assert not route.fault(200, "a/b", is_known=True)
    assert not route.fault(401, "a/b", is_known=False)
    key = b"Bearer x"
    assert holds([(b"authorization", key + b" "), (b"host", b"y")], "Bearer x")
    for given in (b"Bearer y", b"Bearer", b"x", b"Bearer x, Bearer x"):
        assert not holds([(b"authorization", given)], "Bearer x")
    assert not holds([(b"authorization", key), (b"authorization", b"Bearer y")], "Bearer x")
    assert not holds([(b"authorization", b"")], "")


def test_where_there_is_a_key_most_headers_come_with_it_as_it_is() -> None:
    random = Random(1)
    known = [holds(mutated(random, authorization="Bearer x"), "Bearer x") for _ in range(500)]
    assert 300 < sum(known) < 480


def test_the_same_seed_gives_the_same_headers_and_the_most_are_changed() -> None:
    one, two = ([mutated(random) for _ in range(200)] for random in (Random(1), Random(1)))
    assert one == two
    usual = {(name.lower().encode(), value.encode()) for name, value in USUAL.items()}
    assert sum(not set(pairs) <= usual for pairs in one) > 190
