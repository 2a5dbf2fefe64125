"""What a message says, read in no time however it was made."""

from contextlib import suppress
from email import policy
from email.message import EmailMessage
from time import process_time

import pytest

from {{ cookiecutter.package_name }}.adapters import letters, mime
from {{ cookiecutter.package_name }}.adapters.mime import MOST_HEAD, Unreadable

HEAD = b"From: ann@example.com\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n"
MIXED = HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
PAGE = HEAD + b"Content-Type: text/html\r\n\r\n"
A_SECOND, SIZE = 1.0, 300_000


def nested(depth: int) -> bytes:
    made = HEAD + b'Content-Type: multipart/mixed; boundary="b0"\n\n'
    for level in range(depth):
        made += b'--b%d\nContent-Type: multipart/mixed; boundary="b%d"\n\n' % (level, level + 1)
    return made.ljust(SIZE, b"\n")


SLOW = {
    "parameters": MIXED + b"--b\r\nContent-Type: text/plain" + b"; a=b" * 6_000 + b"\r\n\r\nhi",
    "quotes": HEAD + b'Content-Type: multipart/mixed; a="' + b";" * 30_000 + b"\r\n\r\nhi",
    "disposition": MIXED + b"--b\nContent-Disposition: inline" + b"; a=b" * 6_000 + b"\n\nhi",
    "nested": nested(200),
    "parts": MIXED + b"--b\n\n" * 60_000,
    "senders": b"From: " + b"a@b.c," * 5_000 + b"a@b.c\n\nhi",
    "comments": b"From: " + b"(" * 30_000 + b"\n\nhi",
    "subject": HEAD + b"Subject: " + b"=?utf-8?q?a?= " * 2_000 + b"\n\nhi",
    "references": HEAD + b"References: " + b"=?utf-8?q?=3Ca?= " * 1_500 + b"\n\nhi",
    "fields": HEAD + b"a:b\n" * 8_000 + b"\nhi",
    "tags": PAGE + b"<a " * 100_000,
    "name": PAGE + b"<" + b"a" * SIZE,
    "ends": PAGE + b"</a " * 100_000,
    "declarations": PAGE + b"<!" * 100_000,
    "remarks": PAGE + b"<!-- <" * 50_000,
    "scripts": PAGE + b"<script" * 50_000 + b"</script" * 50_000,
    "quotations": PAGE + b"<blockquote>" * 40_000,
    "punycode": HEAD + b"Content-Type: text/plain; charset=punycode\n\na-" + b"b9ab" * 50_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_no_message_takes_longer_than_its_length(name: str) -> None:
    began = process_time()
    for read in (letters.sender_of, letters.read):
        with suppress(Unreadable):
            read(SLOW[name])
    assert process_time() - began < A_SECOND


@pytest.mark.parametrize("whole", [b"Subject: %s\r\n\r\nhi", MIXED + b"--b\r\nX: %s\r\n\r\nhi"])
def test_a_head_without_an_end_is_refused(whole: bytes) -> None:
    with pytest.raises(Unreadable, match=str(MOST_HEAD)):
        letters.read(whole % (b"x" * MOST_HEAD))
    assert letters.read(whole % b"x").text == "hi"


def put_together() -> EmailMessage:
    """As mail programs do: both kinds of text, a picture in the page, a file."""
    made = EmailMessage()
    made["From"] = "ann@example.com"
    made.set_content("Grüße, plain")
    made.add_alternative("<p>Grüße, page</p>", subtype="html")
    page = made.get_payload()[1]  # type: ignore[index]
    assert isinstance(page, EmailMessage)
    page.add_related(b"\x89PNG", "image", "png", cid="<p>")
    made.add_attachment("not this", filename="notes.txt")
    return made


def test_a_person_s_text_is_found_among_pictures_and_files() -> None:
    whole = put_together()
    assert mime.text_of(whole.as_bytes(policy=policy.SMTP)).strip() == "Grüße, plain"
    (both, *_) = whole.iter_parts()
    only = whole.as_bytes().replace(b"text/plain", b"text/other", 1)
    assert both.get_content_type() == "multipart/alternative"
    assert mime.text_of(only).strip() == "Grüße, page"
    alone = EmailMessage()
    alone.add_attachment("not this", filename="notes.txt")
    assert mime.text_of(alone.as_bytes()) == ""


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
def test_however_it_is_encoded(encoding: str) -> None:
    made = EmailMessage()
    made.set_content("approve me = fine", cte=encoding)
    assert mime.text_of(made.as_bytes()).strip() == "approve me = fine"


@pytest.mark.parametrize(
    ("charset", "raw", "said"),
    [
        ("iso-8859-8-i", b"fine", "fine"),
        ("no-such", b"caf\xe9", "café"),
        ("idna", b"fine", "fine"),
        ("hex", b"fine", "fine"),
        ("a\0b", b"fine", "fine"),
        ("iso-8859-1", b"caf\xe9", "café"),
        ("UTF-8", "café".encode(), "café"),
        ("", "café".encode(), "café"),
    ],
)
def test_a_letter_in_a_charset_that_nobody_knows_is_read(
    charset: str, raw: bytes, said: str
) -> None:
    given = f'Content-Type: text/plain; format=flowed; charset="{charset}"\r\n\r\n'
    assert letters.read(HEAD + given.encode() + raw).text == said


PAGES = [
    ("<p>a</p><p>b<br/>c", "\na\nb\nc"),
    ("1 &lt; 2 &amp;&nbsp;3 < 4", "1 < 2 &\xa03 < 4"),
    ("a<!-- <p>b --> c<![if !mso]> d<![endif]>", "a c d"),
    ("a<!--[if mso]><p>b</p><![endif]-->c", "ac"),
    ("a<STYLE>p > b {}</Style >b<script>if (a<b) '<style>'</script>c", "abc"),
    ("<head><title>t</title><meta x><body>a", "a"),
    ("a<blockquote>b<blockquote>c</blockquote>d</blockquote>e</blockquote>f", "aef"),
    ("a<blockquote>b", "a"),
    ("a<script>b", "a"),
    ("<o:p>a</o:p><h1>b</h1>", "ab"),
]


@pytest.mark.parametrize(("page", "said"), PAGES)
def test_of_a_page_its_words_are_read(page: str, said: str) -> None:
    assert mime.words(page) == said
