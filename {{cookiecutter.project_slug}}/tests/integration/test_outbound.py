"""The guard of what goes out, on real sockets: it connects where it looked, by the name given."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.adapters.outbound import Refused, make_http
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.tools import ToolError
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.ledger import World
from {{ cookiecutter.package_name }}.settings import Settings


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.headers['Host']} from inside".encode()
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Client", str(self.client_address[1]))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """It has nothing to say."""


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server inside."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


async def answer(allow: str, url: str) -> str:
    async with make_http(allow) as http:
        return (await http.get(url)).text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "[::1]"])
def test_a_server_inside_is_not_reached_by_any_name(port: int, host: str) -> None:
    with pytest.raises(Refused):
        asyncio.run(answer(f"elsewhere:{port}", f"http://{host}:{port}/"))


def test_a_server_inside_is_reached_where_it_is_allowed(port: int) -> None:
    for host in ("127.0.0.1", "localhost"):
        said = asyncio.run(answer(f"{host}:{port}", f"http://{host}:{port}/"))
        assert said == f"{host}:{port} from inside"


def test_an_allowed_server_sends_nobody_further_inside(port: int) -> None:
    with pytest.raises(Refused, match="only ports 80 and 443"):
        asyncio.run(answer(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}/away"))


def test_no_connection_serves_a_second_request_whose_name_it_has_not_verified(port: int) -> None:
    async def clients() -> set[str]:
        async with make_http(f"127.0.0.1:{port}") as http:
            return {(await http.get(f"http://127.0.0.1:{port}/")).headers["x-client"] for _ in "12"}

    assert len(asyncio.run(clients())) == 2


def test_tls_is_told_the_name_and_not_the_address() -> None:
    async def hello() -> bytes:
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.set_result(await reader.read(4096))
            writer.close()

        async def resolve(_: str, __: int) -> list[str]:
            return ["127.0.0.1"]

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, make_http(f"shop.example:{port}", resolve=resolve) as http:
            with pytest.raises(ToolError, match=r"shop\.example gave no answer"):
                await http.get(f"https://shop.example:{port}/")
            return await heard

    assert b"shop.example" in (said := asyncio.run(hello()))
    assert said.startswith(b"\x16\x03")


def test_a_name_that_nobody_knows_has_no_address() -> None:
    with pytest.raises(Refused, match="has no public address"):
        asyncio.run(answer("", "http://nowhere.invalid/"))


def test_a_place_where_nobody_listens_gives_no_answer() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ToolError, match=r"127\.0\.0\.1 gave no answer"):
        asyncio.run(answer(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}/"))


def test_tools_are_offered_it_and_it_is_closed_with_the_process(
    port: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds: list[World] = []

    def load(world: World) -> dict[str, Agent]:
        worlds.append(world)
        return {}

    async def used() -> str:
        async with running(allowing, "worker"):
            return (await worlds[0].http.get(f"http://127.0.0.1:{port}/")).text

    monkeypatch.setattr(agents, "load", load)
    allowing = settings.model_copy(update={"outbound_allow": f"127.0.0.1:{port}"})
    assert asyncio.run(used()).endswith("from inside")
    assert worlds[0].http.is_closed
