"""The guard of what goes out: nothing that leads inside is asked, however it is written."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from {{ cookiecutter.package_name }}.adapters import outbound
from {{ cookiecutter.package_name }}.adapters.outbound import (
    MOST_BYTES,
    Http,
    Refused,
    Unresolved,
    make_http,
    places,
)
from {{ cookiecutter.package_name }}.agent.tools import ToolError, brief

NAMES = {
    "example.com": ["93.184.215.14"],
    "example.org": ["2606:2800:21f:cb07::1", "93.184.215.15"],
    "inside.example.com": ["10.0.0.7"],
    "both.example.com": ["93.184.215.14", "127.0.0.1"],
    "127.0.0.1.example.com": ["127.0.0.1"],
    "wiki.internal": ["10.0.0.8"],
    "box": ["192.168.0.2"],
}
HOSTILE = """
    http://127.0.0.1/                   http://127.1/                   http://2130706433/
    http://0x7f000001/                  http://0x7f.0.0.1/              http://0177.0.0.1/
    http://017700000001/                http://127.0.0.1./              http://0/
    http://0.0.0.0/                     http://10.0.0.1/                http://172.16.0.1/
    http://192.168.1.1/                 http://100.64.0.1/              http://169.254.169.254/
    http://100.100.100.200/             http://168.63.129.16/           http://192.0.0.192/
    http://198.18.0.1/                  http://224.0.0.1/               http://255.255.255.255/
    http://localhost/                   http://localhost./              http://LOCALHOST/
    http://a.localhost/                 http://metadata/                http://metadata.goog/
    http://metadata.google.internal/    http://printer.local/           http://router.lan/
    http://[::1]/                       http://[::]/                    http://[fe80::1]/
    http://[fe80::1%25eth0]/            http://[fc00::1]/               http://[fd00:ec2::254]/
    http://[ff02::1]/                   http://[::ffff:127.0.0.1]/      http://[::ffff:7f00:1]/
    http://[::ffff:8.8.8.8]/            http://[::127.0.0.1]/           http://[64:ff9b::7f00:1]/
    http://[64:ff9b:1::1]/              http://[2002:7f00:1::]/         http://[2001::7f00:1]/
    http://[2001:db8::1]/               http://[100::1]/                http://[3fff::1]/
    http://example.com@127.0.0.1/       http://example.com:x@10.0.0.1/  http://u:p@example.com/
    http://example.com\\@127.0.0.1/      http://127.0.0.1%00.example.com/
    http://127.0.0.1%2f.example.com/    http://%31%32%37.0.0.1/         http://127\u30020\u30020\u30021/
    http://\uff11\uff12\uff17.0.0.1/   http://\u24dbocalhost/            http://exa%0ample.com/
    http://inside.example.com/          http://both.example.com/        http://nowhere.example.com/
    http://127.0.0.1.example.com/       http://wiki.internal/           http://-.example.com/
    http://example.com:22/              http://example.com:6379/        http://example.com:0/
    http://example.com:99999/           https://10.0.0.1:443/           https://example.com:8443/
    file:///etc/passwd                  gopher://example.com/           ftp://example.com/
    dict://example.com:11211/           http:///etc/passwd              //example.com/
    http:127.0.0.1/                     data:text/plain,x               example.com
"""


class Web:
    """Answers whoever gets through to it, and keeps what was asked."""

    def __init__(self, **answers: httpx2.Response) -> None:
        self.answers = answers
        self.asked: list[httpx2.Request] = []
        self.away: set[str] = set()
        self.looked_up: list[str] = []

    def http(self, allow: str = "") -> Http:
        return make_http(allow, resolve=self.resolve, inner=httpx2.MockTransport(self.answer))

    async def resolve(self, host: str, _: int) -> list[str]:
        self.looked_up.append(host)
        return NAMES.get(host, [])

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if request.url.host in self.away:
            raise httpx2.ConnectError("no route to it")
        return self.answers.get(request.url.path.strip("/"), httpx2.Response(200, text="hello"))


def get(http: Http, url: str, **given: object) -> httpx2.Response:
    return asyncio.run(http.get(url, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["", *HOSTILE.split()])
def test_what_leads_inside_is_refused_in_a_line_and_nothing_is_asked(url: str) -> None:
    web = Web()
    with pytest.raises(Refused) as caught:
        get(web.http(), url)
    assert not web.asked
    assert 20 < len(str(caught.value)) < 250
    assert str(caught.value) == brief(caught.value)


def test_nobody_is_told_what_a_name_inside_resolves_to() -> None:
    said = set()
    for name in ("inside", "nowhere"):
        with pytest.raises(Refused) as caught:
            get(Web().http(), f"http://{name}.example.com/")
        said.add(str(caught.value).replace(name, "it"))
    assert said == {
        "it.example.com has no public address. Who runs this service may allow it by OUTBOUND_ALLOW"
    }


def test_a_name_without_an_address_just_now_may_have_one_later_and_one_inside_may_not() -> None:
    web = Web()
    for url in ("http://nowhere.example.com/", "http://shop.example:8443/"):
        with pytest.raises(Unresolved):
            get(web.http("shop.example:8443"), url)
    for url in ("http://inside.example.com/", "http://both.example.com/", "http://wiki.internal/"):
        with pytest.raises(Refused) as caught:
            get(web.http(), url)
        assert not isinstance(caught.value, Unresolved)


def test_a_public_name_is_asked_at_the_address_that_was_checked() -> None:
    web = Web()
    answer = get(web.http(), "https://Example.COM./page?q=1")
    (asked,) = web.asked
    assert str(asked.url) == "https://93.184.215.14/page?q=1"
    assert asked.headers["host"] == "example.com."
    assert asked.extensions["sni_hostname"] == "example.com"
    assert (answer.text, answer.url.host) == ("hello", "example.com.")


def test_a_name_server_that_changes_its_answer_is_not_asked_again() -> None:
    answers: Iterator[list[str]] = iter([["93.184.215.14"], ["127.0.0.1"]])
    web = Web()

    async def resolve(_: str, __: int) -> list[str]:
        return next(answers)

    http = make_http("", resolve=resolve, inner=httpx2.MockTransport(web.answer))
    get(http, "http://example.com/")
    assert [request.url.host for request in web.asked] == ["93.184.215.14"]
    with pytest.raises(Refused, match="no public address"):
        get(http, "http://example.com/")
    assert len(web.asked) == 1


def test_of_several_addresses_the_next_is_asked_where_one_is_away() -> None:
    web = Web()
    web.away = {"2606:2800:21f:cb07::1"}
    assert get(web.http(), "http://example.org/").text == "hello"
    assert [request.url.host for request in web.asked] == NAMES["example.org"]
    web.away = set(NAMES["example.org"])
    with pytest.raises(ToolError, match=r"example\.org gave no answer: no route to it"):
        get(web.http(), "http://example.org/")


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1/", "http://inside.example.com/", "//[::1]/", "file:///etc/passwd", "//x:9/"],
)
def test_a_redirect_is_checked_like_any_request(place: str) -> None:
    web = Web(go=httpx2.Response(302, headers={"Location": place}))
    with pytest.raises(Refused):
        get(web.http(), "http://example.com/go")
    assert len(web.asked) == 1


def test_redirects_are_followed_a_few_times() -> None:
    web = Web(
        go=httpx2.Response(302, headers={"Location": "https://example.org/"}),
        round=httpx2.Response(307, headers={"Location": "/round"}),
    )
    assert str(get(web.http(), "http://example.com/go").url) == "https://example.org/"
    assert web.looked_up == ["example.com", "example.org"]
    with pytest.raises(ToolError, match=r"example\.com gave no answer: .*redirects"):
        get(web.http(), "http://example.com/round")
    assert len(web.asked) == 2 + 1 + 5


class Endless(httpx2.AsyncByteStream):
    def __init__(self, chunk: bytes, *, seconds: float = 0) -> None:
        self.chunk = chunk
        self.seconds = seconds
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(self.seconds)
            yield self.chunk

    async def aclose(self) -> None:
        self.is_closed = True


def test_an_answer_without_end_is_cut_off() -> None:
    body = Endless(b"x" * 100_000)
    web = Web(long=httpx2.Response(200, stream=body))
    with pytest.raises(Refused, match=f"more than {MOST_BYTES:,} bytes"):
        get(web.http(), "http://example.com/long")
    assert body.is_closed


def test_an_answer_that_drips_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "SECONDS", 0.05)
    body = Endless(b"x", seconds=0.01)
    web = Web(slow=httpx2.Response(200, stream=body))
    with pytest.raises(ToolError, match=r"example\.com gave no answer within 0\.05 s"):
        get(web.http(), "http://example.com/slow")
    assert body.is_closed


def test_no_answer_is_unpacked() -> None:
    body = Endless(b"")
    packed = httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=body)
    web = Web(bomb=packed)
    with pytest.raises(Refused, match="compressed"):
        get(web.http(), "http://example.com/bomb")
    assert web.asked[0].headers["accept-encoding"] == "identity"
    assert body.is_closed


def test_what_one_session_is_given_is_not_sent_for_another() -> None:
    web = Web(cookie=httpx2.Response(200, headers={"Set-Cookie": "who=one"}))
    http = web.http()
    get(http, "http://example.com/cookie")
    get(http, "http://example.com/")
    assert "cookie" not in web.asked[1].headers


def test_a_key_is_not_sent_on_to_another_host() -> None:
    web = Web(go=httpx2.Response(302, headers={"Location": "https://example.org/"}))
    get(web.http(), "http://example.com/go", headers={"Authorization": "Bearer x"})
    assert ["authorization" in request.headers for request in web.asked] == [True, False]


@pytest.mark.parametrize(
    "url",
    ["http://wiki.internal/", "http://10.0.0.7:8080/", "http://[::1]:8081/", "http://Box:90/"],
)
def test_what_is_allowed_by_name_and_port_is_asked(url: str) -> None:
    web, allow = Web(), "wiki.internal:80,10.0.0.7:8080,[0:0::1]:8081,box:90"
    assert get(web.http(allow), url).text == "hello"
    for other in ("http://wiki.internal:81/", "http://10.0.0.7/", "http://wiki.internal.:443/"):
        with pytest.raises(Refused):
            get(web.http(allow), other)
    assert len(web.asked) == 1


def test_places_are_read_in_one_form() -> None:
    assert places("") == frozenset()
    assert places("A.b.:1,[0::1]:2,") == {("a.b", 1), ("::1", 2)}
