"""The service as an MCP server, asked by the protocol's own client library, in both its manners."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from {{ cookiecutter.package_name }}.about import about

from ..conftest import EMPTY, SECRET
from ..processes import PATIENCE, Process
from tools.keys import AUTH, another

NOBODY = "00000000-0000-0000-0000-000000000000"
TALK = ["start", "say", "read"]
TOOLS = [*TALK, "approve", "refuse", "answer"]


@dataclass
class Door:
    web: Process
    database_url: str

    def ask(
        self,
        act: Callable[[Client], Coroutine[Any, Any, None]],
        *,
        key: dict[str, str] = AUTH,
        mode: Any = "auto",
    ) -> None:
        """What a client does that has come in with this key."""

        async def whole() -> None:
            async with httpx2.AsyncClient(headers=key, timeout=PATIENCE, verify=False) as http:
                transport = streamable_http_client(f"{self.web.url}/mcp", http_client=http)
                async with Client(transport, mode=mode) as client:
                    await act(client)

        asyncio.run(whole())

    def another(self, name: str, **of: Any) -> dict[str, str]:
        return another(self.database_url, name, **{"owner": "default"} | of)


@pytest.fixture(scope="module")
def door(
    migrated_database: str,
    reach: Callable[[str], dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Door]:
    """A web process and a worker, for all tests of this file."""
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(EMPTY)
    own = {"SECRET_KEY": SECRET, "DEFAULT_AGENT": "echo", "MODEL": "scripted:echo"}
    given: dict[str, Any] = {
        "environment": own | reach(migrated_database),
        "directory": tmp_path_factory.mktemp("mcp"),
    }
    with ExitStack() as ending:
        web, worker = (Process(name, **given) for name in ("serve", "work"))
        for process in (web, worker):
            ending.callback(process.end)
        worker.logged("worker started")
        yield Door(web.healthy(), migrated_database)


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the tool gives; the library holds it to the schema that was announced."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    given: dict[str, Any] | None = result.structured_content
    assert json.loads(text_of(result)) == given
    assert given
    return given


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The one line in which it says why not."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.content
    said = text_of(result)
    assert "\n" not in said
    return said


def text_of(result: CallToolResult) -> str:
    (part,) = result.content
    assert isinstance(part, TextContent)
    return part.text


async def waiting(client: Client) -> tuple[str, str]:
    """A session that waits for a person, and the request."""
    session: str = (await told(client, "start"))["session_id"]
    said = await told(client, "say", session_id=session, text="risk")
    (pending,) = said["pending"]
    assert (said["status"], "`approve`" in said["hint"]) == ("waiting", True)
    assert (pending["tool"], pending["arguments"]) == ("risk", {"number": 1})
    return session, pending["request_id"]


@pytest.mark.factor("A11")
@pytest.mark.parametrize(
    ("mode", "version"),
    [("auto", "2026-07-28"), ("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")],
)
def test_a_client_starts_says_reads_and_approves(door: Door, mode: str, version: str) -> None:
    async def act(client: Client) -> None:
        assert client.protocol_version == version
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        session = (await told(client, "start", metadata={"ticket": 7}))["session_id"]
        said = await told(client, "say", session_id=session, text="hello")
        assert (said["response"], said["hint"]) == ("I hear: hello", "")
        session, request = await waiting(client)
        decided = await told(client, "approve", session_id=session, request_id=request)
        assert decided["status"] == "ready"
        seen = await told(client, "read", session_id=session, after=decided["seq"], wait_seconds=20)
        assert (seen["status"], seen["pending"], seen["next"]) == ("idle", [], None)
        assert seen["events"][-1]["text"] == "so it is: dared 1"
        first = await told(client, "read", session_id=session, limit=2)
        assert [event["kind"] for event in first["events"]] == ["session_started", "user_spoke"]
        assert (first["next"], first["events"][1]["by"]) == (2, "all")

    door.ask(act, mode=mode)


def test_who_they_talk_to_is_said(door: Door) -> None:
    async def act(client: Client) -> None:
        known = client.server_info
        assert known
        assert (known.name, known.version) == (about().slug, about().version)
        assert "as that person tells you to" in str(client.instructions)

    for mode in ("auto", "legacy"):
        door.ask(act, mode=mode)


@pytest.mark.factor("A7")
def test_a_refusal_is_told_and_an_answer_never_approves(door: Door) -> None:
    async def act(client: Client) -> None:
        session, request = await waiting(client)
        asked = {"session_id": session, "request_id": request}
        assert "is no question" in await refused(client, "answer", **asked, text="yes")
        await told(client, "refuse", **asked, comment="too bold")
        await told(client, "refuse", **asked, comment="too bold")
        assert "decided otherwise" in await refused(client, "approve", **asked)
        seen = await told(client, "read", session_id=session, limit=100, wait_seconds=20)
        kinds = [event["kind"] for event in seen["events"]]
        assert (kinds.count("tool_denied"), "tool_approved" in kinds) == (1, False)

    door.ask(act)


def test_a_message_sent_again_with_its_key_is_said_once(door: Door) -> None:
    async def act(client: Client) -> None:
        session = (await told(client, "start"))["session_id"]
        both = [await told(client, "say", session_id=session, text="hello", key="k") for _ in "12"]
        assert both[0] == both[1]
        other = await refused(client, "say", session_id=session, text="bye", key="k")
        assert other.startswith("the idempotency key 'k'")

    door.ask(act)


@pytest.mark.parametrize("key", ["\0", "a\0b", "\ud800", "\n", "é"])
def test_a_key_that_is_no_plain_text_is_named_and_nothing_is_said(door: Door, key: str) -> None:
    """Sent as no client library would."""

    def call(tool: str, **arguments: Any) -> Any:
        params = {"name": tool, "arguments": arguments}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = httpx2.post(
            f"{door.web.url}/mcp", content=json.dumps(asked), headers=AUTH, verify=False
        )
        assert answer.status_code == 200
        return answer.json()["result"]

    session = call("start")["structuredContent"]["session_id"]
    refused = call("say", session_id=session, text="hello", key=key)
    assert refused["isError"]
    assert refused["content"][0]["text"].startswith("key: ")
    assert len(call("read", session_id=session)["structuredContent"]["events"]) == 1


@pytest.mark.parametrize("key", [{}, {"Authorization": "Bearer tfa_nobody"}])
def test_nobody_gets_in_by_a_key_that_is_none(door: Door, key: dict[str, str]) -> None:
    async def act(client: Client) -> None:
        raise AssertionError(f"{client.server_info} let it in")

    with pytest.RaisesGroup(MCPError, flatten_subgroups=True):
        door.ask(act, key=key, mode="legacy")
    answer = httpx2.post(f"{door.web.url}/mcp", headers=key, verify=False)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_key_without_the_scope_sees_no_such_tool_and_can_not_call_it(door: Door) -> None:
    kept: list[tuple[str, str]] = []

    async def ask(client: Client) -> None:
        kept.append(await waiting(client))

    async def act(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == TALK
        session, request = kept[0]
        why = await refused(client, "approve", session_id=session, request_id=request)
        assert why == "key chatter lacks the scope `approve`"
        seen = await told(client, "read", session_id=session)
        assert [pending["request_id"] for pending in seen["pending"]] == [request]

    door.ask(ask)
    door.ask(act, key=door.another("chatter", scopes=("chat",)))


def test_anothers_session_is_as_good_as_none_to_every_tool(door: Door) -> None:
    kept: list[tuple[str, str]] = []
    more: dict[str, dict[str, str]] = {"say": {"text": "x"}, "answer": {"text": "x"}}

    async def ask(client: Client) -> None:
        kept.append(await waiting(client))

    async def act(client: Client) -> None:
        (session, request), tried = kept[0], 0
        for tool in (await client.list_tools()).tools:
            known = tool.input_schema["properties"]
            if "session_id" not in known:
                continue
            given = more.get(tool.name, {})
            if "request_id" in known:
                given = given | {"request_id": request}
            real, none = [
                await refused(client, tool.name, session_id=id_, **given)
                for id_ in (session, NOBODY)
            ]
            assert real.replace(session, NOBODY) == none
            assert "does not exist" in none
            tried += 1
        assert tried == len(TOOLS) - 1

    door.ask(ask)
    door.ask(act, key=door.another("eve", owner="others"))


def test_what_does_not_fit_is_one_line_for_the_model_to_read(door: Door) -> None:
    async def act(client: Client) -> None:
        why = await refused(client, "say", session_id="7", to="you")
        for fault in ("session_id: ", "text: Field required", "to: Extra inputs"):
            assert fault in why
        assert "'nobody'" in await refused(client, "start", agent="nobody")
        with pytest.raises(MCPError, match="there is no tool 'fly': only start, say"):
            await client.call_tool("fly", {})

    door.ask(act)
