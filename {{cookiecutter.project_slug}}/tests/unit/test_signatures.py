"""Signed messages: whoever has a key is heard, and nobody else, whatever is sent."""

import hmac
from collections.abc import Callable
from random import Random

import pytest

from {{ cookiecutter.package_name }}.signatures import NotSigned, sign, verify

KEY, OLD, NEW = "the key of now", "the key of before", "the key of tomorrow"
NOW = 1_767_323_045.5
BODY = b'{"deploy": "1.4.2"}'
HEADER = sign(BODY, [KEY], at=NOW)
MUTATIONS = 10_000
Mutation = tuple[str | None, bytes, float]


def refused(header: str | None, body: bytes = BODY, *keys: str, now: float = NOW) -> str:
    with pytest.raises(NotSigned) as caught:
        verify(header, body, keys or [KEY], now=now)
    assert str(caught.value) == str(NotSigned("another"))
    return caught.value.reason


def test_what_is_signed_is_hmac_of_time_and_body() -> None:
    made = hmac.new(KEY.encode(), b"1767323045." + BODY, "sha256").hexdigest()
    assert f"t=1767323045,v1={made}" == HEADER
    assert verify(HEADER, BODY, [KEY], now=NOW)


@pytest.mark.parametrize("body", [b"", b"\0", b"\xff" * 9, b"1.2", b"x" * 1_000_000], ids=len)
def test_any_body_can_be_signed(body: bytes) -> None:
    assert verify(sign(body, [KEY], at=NOW), body, [KEY], now=NOW)


def test_while_a_key_is_rotated_no_message_is_lost() -> None:
    both = sign(BODY, [OLD, NEW], at=NOW)
    for header, keys in [
        (sign(BODY, [OLD], at=NOW), [NEW, OLD]),
        (sign(BODY, [NEW], at=NOW), [NEW, OLD]),
        (both, [OLD]),
        (both, [NEW]),
    ]:
        assert verify(header, BODY, keys, now=NOW)
    assert refused(sign(BODY, [OLD], at=NOW), BODY, NEW) == "no key of ours makes this signature"


@pytest.mark.parametrize("late", [-301, 301, 1e6, -1e9])
def test_what_is_old_or_of_the_future_is_refused(late: float) -> None:
    assert "s ago, 300 are allowed" in refused(HEADER, now=int(NOW) + late)


@pytest.mark.parametrize("late", [-300, -1, 0, 299, 300])
def test_clocks_may_differ_by_the_window(late: float) -> None:
    assert verify(HEADER, BODY, [KEY], now=int(NOW) + late)


def test_every_repeat_has_the_same_key_and_another_message_another() -> None:
    other = sign(b"other", [KEY], at=NOW)
    keys = [verify(HEADER, BODY, [KEY], now=NOW + late) for late in (0, 9)]
    assert keys[0] == keys[1] != verify(other, b"other", [KEY], now=NOW)


def test_while_a_key_is_rotated_a_message_is_still_one_whichever_signatures_come_with_it() -> None:
    """Who has heard it could take one away, and would have said another within the window."""
    given = [sign(BODY, by, at=NOW) for by in ([NEW, OLD], [NEW], [OLD])]
    assert len({verify(header, BODY, [NEW, OLD], now=NOW) for header in given}) == 1
    before = verify(sign(BODY, [OLD], at=NOW), BODY, [OLD], now=NOW)
    assert before == verify(given[2], BODY, [NEW, OLD], now=NOW)


def test_without_a_key_of_its_own_nobody_verifies_anything() -> None:
    assert refused(sign(BODY, [""], at=NOW), BODY, "") == "no key is set to verify it with"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1767323045",
        HEADER.upper(),
        HEADER + ",",
        HEADER + "\n",
        " " + HEADER,
        HEADER.replace(",", ", "),
        HEADER.replace("v1", "v0"),
        HEADER.replace("t=1", "t=01"),
        HEADER.replace("t=1", "t=+1"),
        HEADER.replace("1767323045", "١٧٦٧٣٢٣٠٤٥"),
        HEADER + ",v1=" + "0" * 63,
        HEADER + (",v1=" + "0" * 64) * 8,
        ",".join(reversed(HEADER.split(","))),
        "t=" + "9" * 5000 + HEADER[12:],
    ],
)
def test_another_form_is_refused(header: str) -> None:
    assert refused(header) in {
        "the header is none of ours",
        "there is no signature",
        "no key of ours makes this signature",
    }


def changed(random: Random, text: bytes) -> bytes:
    """The text with a few bytes flipped, doubled, left out or put in."""
    parts = bytearray(text)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(parts) + 1)
        match random.randrange(4):
            case 0 if at < len(parts):
                parts[at] ^= 1 << random.randrange(8)
            case 1:
                parts[at:at] = parts[at : at + 3]
            case 2:
                del parts[at : at + random.randint(1, 9)]
            case _:
                parts.insert(at, random.randrange(256))
    return bytes(parts)


def in_header(random: Random) -> Mutation:
    return changed(random, HEADER.encode()).decode("latin-1"), BODY, NOW


def in_signature(random: Random) -> Mutation:
    time, _, signature = HEADER.partition(",v1=")
    return f"{time},v1={changed(random, signature.encode()).decode('latin-1')}", BODY, NOW


def in_body(random: Random) -> Mutation:
    return HEADER, changed(random, BODY), NOW


def in_time(random: Random) -> Mutation:
    moved = int(NOW) + random.choice([-1, 1]) * random.randint(1, 10 ** random.randint(1, 11))
    return HEADER.replace(str(int(NOW)), str(moved)), BODY, random.choice([NOW, float(moved)])


def in_clock(random: Random) -> Mutation:
    return HEADER, BODY, NOW + random.choice([-1, 1]) * random.uniform(302, 1e9)


def in_key(random: Random) -> Mutation:
    key = changed(random, KEY.encode()).decode("latin-1")
    return sign(BODY, [key], at=NOW), BODY, NOW


def test_of_ten_thousand_mutations_none_is_accepted_and_none_raises_anything_else() -> None:
    random = Random(20260102)
    ways: list[Callable[[Random], Mutation]] = [
        in_header,
        in_signature,
        in_body,
        in_time,
        in_clock,
        in_key,
    ]
    refusals = 0
    for number in range(MUTATIONS):
        header, body, now = ways[number % len(ways)](random)
        if (header, body, now) == (HEADER, BODY, NOW):
            continue
        with pytest.raises(NotSigned):
            verify(header, body, [KEY], now=now)
        refusals += 1
    assert refusals > MUTATIONS * 0.98
