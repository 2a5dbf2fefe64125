"""What channels share, on a real database: who is told what, once, whoever dies meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.bootstrap import App, engine, running
from {{ cookiecutter.package_name }}.channels import Address, Notice, Recipient, Undeliverable
from {{ cookiecutter.package_name }}.deliverer import DELIVER, MOST_TRIES, Deliverer
from {{ cookiecutter.package_name }}.engine import Engine
from {{ cookiecutter.package_name }}.errors import Conflict, NotFound, Unavailable
from {{ cookiecutter.package_name }}.schedules import read_schedules
from {{ cookiecutter.package_name }}.settings import Settings

from ..fakes import FakeQueue, FakeWitness
from ..processes import eventually
from .conftest import Database

THREAD = Address("chat", "room/1", {"user": "Ada"})
OPS = "chat:ops"
WHO = ("session_id", "channel", "place")
LEFT = "UPDATE recipients SET not_before = now() + interval '1 h'"
"""As the release before this one leaves a wait, when it has told what was waited for."""
OVERDUE = """UPDATE events SET data = jsonb_set(data, '{expires_at}', '"2020-01-01T00:00:00Z"')
    WHERE data->>'kind' = 'tool_requested'"""


class Chat:
    """A channel that keeps what it is told, and fails as the test says."""

    name = "chat"

    def __init__(self) -> None:
        self.told: list[Notice] = []
        self.faults: list[BaseException] = []
        self.moved: Address | None = None
        self.held: Callable[[], Awaitable[None]] | None = None

    async def deliver(self, notice: Notice) -> Address | None:
        self.told.append(notice)
        if self.held:
            await self.held()
        if self.faults:
            raise self.faults.pop(0)
        return self.moved

    async def close(self) -> None:
        """There is nothing to close."""


class Died:
    """In place of what a process would have done next."""

    session = ""

    async def __call__(self, session: str, _: Address) -> None:
        self.session = session
        raise Unavailable("the process was killed")


class Place:
    """A service with that channel, and a worker that works when it is told to."""

    def __init__(self, app: App, engine: Engine, approvals_to: tuple[str, ...]) -> None:
        self.app, self.engine, self.chat, self.queue = app, engine, Chat(), FakeQueue()
        object.__setattr__(app.channels, "approvals_to", approvals_to)
        self.channels = app.channels
        self.deliverer = self.another()

    def another(self, owner: int | None = None) -> Deliverer:
        """As in another process."""
        return Deliverer(
            channels=self.channels,
            ways={"chat": lambda: self.chat},
            queue=self.queue,
            owner=lambda: self.app.processes.id if owner is None else owner,
            public_url="https://agent.example.com",
        )

    async def say(self, text: str = "hello", *, key: str = "m1") -> str:
        """What somebody says in the thread, and all that the agent does then."""
        session = await self.channels.receive(THREAD, text=text, key=key, by="chat:ada")
        await self.engine.advance(session)
        return session

    async def tell(self) -> list[Notice]:
        """What is told of all that is due now."""
        before = len(self.chat.told)
        await self.deliverer.sweep()
        sent, self.queue.sent = self.queue.sent, []
        for task, arguments in sent:
            assert task == DELIVER
            arguments.pop("lane")
            await self.deliverer.deliver(**arguments)
        return self.chat.told[before:]


@pytest.fixture
def play(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a scene in such a place."""
    monkeypatch.setenv("MODEL", "scripted:echo")

    @asynccontextmanager
    async def placed(*approvals_to: str) -> AsyncIterator[Place]:
        async with running(Settings.load(), "test") as app:
            await app.processes.beat()
            yield Place(app, engine(Settings.load(), app, witness=FakeWitness()), approvals_to)

    def play(scene: Callable[[Place], Coroutine[Any, Any, None]], *approvals_to: str) -> None:
        async def run() -> None:
            async with placed(*approvals_to) as place:
                await scene(place)

        asyncio.run(run())

    return play


def due_now(database: Database) -> None:
    database.execute("UPDATE recipients SET due_at = now() - interval '1 min', not_before = NULL")


Play = Callable[..., None]


def test_a_message_that_comes_often_and_at_once_is_one_session_and_one_message(
    play: Play,
) -> None:
    async def scene(place: Place) -> None:
        said = [
            place.channels.receive(THREAD, text="hello", key="m1", by="chat:ada") for _ in range(12)
        ]
        (session,) = set(await asyncio.gather(*said))
        kinds = [s.event.kind for s in await place.app.service.events(session, after=0, limit=99)]
        assert kinds.count("user_spoke") == 1
        assert len(await place.channels.recipients.of(session)) == 1
        assert await place.say("more", key="m2") == session

    play(scene)


def test_the_answer_goes_to_the_thread_once_and_so_does_the_next(play: Play) -> None:
    async def scene(place: Place) -> None:
        session = await place.say()
        (notice,) = await place.tell()
        assert (notice.kind, notice.text, notice.address) == ("answer", "I hear: hello", THREAD)
        assert (notice.session_id, notice.tried, notice.code) == (session, False, "")
        assert await place.tell() == []
        assert await place.tell() == []
        await place.app.service.say(session, "by another door")
        await place.engine.advance(session)
        (next_,) = await place.tell()
        assert next_.text == "I hear: by another door"
        assert next_.key != notice.key
        assert next_.key.replace("-", "").isalnum()

    play(scene)


def test_a_thread_whose_session_has_ended_begins_another_one(play: Play) -> None:
    async def scene(place: Place) -> None:
        first = await place.say()
        await place.app.service.cancel(first, by="Bob", reason="enough")
        assert [n.text for n in await place.tell()] == [
            "I hear: hello",
            "Bob has cancelled this: enough",
        ]
        second = await place.say("again", key="m2")
        assert second not in {first, await place.say("hello", key="m1")}
        assert [n.text for n in await place.tell()] == ["I hear: again"]
        assert await place.say("more", key="m3") == second

    play(scene)


def test_where_a_notice_began_a_thread_what_is_said_there_goes_on_with_the_session(
    play: Play,
) -> None:
    async def scene(place: Place) -> None:
        (schedule,) = read_schedules("0 7 * * * | chat:ops | hello")
        now = place.app.service.clock()
        session = await place.channels.begin(schedule, due=now)
        assert await place.channels.begin(schedule, due=now) == session
        assert await place.channels.begin(schedule, due=now + timedelta(days=1)) != session
        await place.engine.advance(session)
        place.chat.moved = Address("chat", "ops/17", {"ts": "17"})
        (notice,) = await place.tell()
        assert notice.address == Address("chat", "ops")
        there = Address("chat", "ops/17")
        said = place.channels.receive(there, text="thanks", key="m1", by="chat:bob")
        assert await said == session
        await place.engine.advance(session)
        (notice,) = await place.tell()
        assert (notice.text, notice.address.thread) == ("I hear: thanks", "ops/17")

    play(scene)


def test_what_an_approver_says_under_a_request_is_said_to_its_session(play: Play) -> None:
    async def scene(place: Place) -> None:
        session = await place.app.service.start()
        await place.app.service.say(session, "risk", by="key:api")
        await place.engine.advance(session)
        place.chat.moved = Address("chat", "ops/17")
        await place.tell()
        there = Address("chat", "ops/17")
        said = place.channels.receive(there, text="why?", key="m1", by="chat:bob")
        assert await said == session
        elsewhere = Address("chat", "ops")
        said = place.channels.receive(elsewhere, text="hello", key="m2", by="chat:bob")
        assert await said != session, "the room itself is no thread of it"

    play(scene, OPS)


def test_a_thread_that_a_session_came_from_is_its_own_and_not_a_request_s(play: Play) -> None:
    async def scene(place: Place) -> None:
        own = await place.say()
        other = await place.app.service.start()
        await place.app.service.say(other, "risk", by="key:api")
        await place.engine.advance(other)
        place.chat.moved = THREAD
        await place.tell()
        assert await place.say("more", key="m2") == own

    play(scene, OPS)


def test_who_joins_a_session_is_told_what_comes_from_then_on(play: Play) -> None:
    async def scene(place: Place) -> None:
        session = await place.app.service.start()
        await place.app.service.say(session, "old", by="key:api")
        await place.engine.advance(session)
        for _ in range(2):
            await place.channels.follow(session, THREAD)
        assert await place.tell() == []
        await place.app.service.say(session, "new", by="key:api")
        await place.engine.advance(session)
        assert [n.text for n in await place.tell()] == ["I hear: new"]

    play(scene)


def test_an_answer_that_is_there_before_its_origin_is_known_is_told(play: Play) -> None:
    """As where the process that took a message dies, and the message is brought again."""

    async def scene(place: Place) -> None:
        recipients = place.channels.recipients
        with pytest.MonkeyPatch.context() as dying:
            dying.setattr(recipients, "follow", died := Died())
            with pytest.raises(Unavailable):
                await place.say()
        assert died.session
        await place.engine.advance(died.session)
        assert await place.say() == died.session
        assert [n.text for n in await place.tell()] == ["I hear: hello"]

    play(scene)


def test_a_guest_is_told_and_decides_nothing(play: Play) -> None:
    async def scene(place: Place) -> None:
        session = await place.say("risk")
        guest = Address("chat", "elsewhere/1")
        await place.channels.follow(session, guest, is_guest=True)
        (own,) = await place.tell()
        assert (own.address.thread, bool(own.code)) == (THREAD.thread, True)
        await place.channels.decide(own.code, approved=True)
        await place.engine.advance(session)
        await place.say("risk", key="m2")
        told = [(n.address.thread, n.kind, bool(n.code)) for n in await place.tell()]
        assert [one for one in told if one[0] == guest.thread] == [
            (guest.thread, "answer", False),
            (guest.thread, "approval", False),
        ]
        (asked,) = [one for one in told if one[0] == THREAD.thread and one[1] == "approval"]
        assert asked[2]
        await place.channels.follow(session, THREAD, is_guest=True)
        assert not any(r.is_guest for r in await origins(place, session) if r.place == "room/1")

    play(scene)


async def origins(place: Place, session: str) -> list[Recipient]:
    return [r for r in await place.channels.recipients.of(session) if r.is_origin]


def test_who_is_invited_later_hears_nothing_of_what_nobody_decided_before(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        session = await place.say("risk")
        assert [n.kind for n in await place.tell()] == ["approval"]
        database.execute(OVERDUE)
        database.execute("UPDATE sessions SET wake_at = now() - interval '1 s'")
        await place.app.upkeep.sweep()
        await place.engine.advance(session)
        assert (await place.tell())[0].text == "Nobody has decided on c1 in time."
        await place.say("risk", key="m2")
        object.__setattr__(place.channels, "approvals_to", (OPS,))
        told = [(n.kind, n.address.thread) for n in await place.tell()]
        assert sorted(told) == [("approval", "ops"), ("approval", "room/1")]

    play(scene)


def test_who_decides_is_asked_wherever_it_began_and_told_of_nothing_else(play: Play) -> None:
    async def scene(place: Place) -> None:
        session = await place.app.service.start()
        await place.app.service.say(session, "risk", by="key:api")
        await place.engine.advance(session)
        (notice,) = await place.tell()
        assert (notice.kind, notice.address.thread) == ("approval", "ops")
        assert notice.request is not None
        assert (notice.request.tool, notice.request.arguments) == ("risk", {"number": 1})
        assert notice.link == f"https://agent.example.com/decide/{notice.code}"
        assert await place.channels.decide(notice.code, approved=True) == session
        await place.engine.advance(session)
        assert await place.tell() == []
        events = [s.event for s in await place.app.service.events(session, after=0, limit=99)]
        assert [event.by for event in events if event.kind == "tool_approved"] == ["chat:ops"]

    play(scene, OPS)


def test_of_the_two_who_are_told_only_the_one_that_decides_has_a_code(play: Play) -> None:
    async def scene(place: Place) -> None:
        await place.say("risk")
        codes = {n.address.thread: bool(n.code) for n in await place.tell()}
        assert codes == {"ops": True, "room/1": False}

    play(scene, OPS)


def test_a_code_counts_once_and_its_repeat_is_no_second_decision(play: Play) -> None:
    async def scene(place: Place) -> None:
        session = await place.say("risk")
        (notice,) = await place.tell()
        for _ in range(3):
            await place.channels.decide(notice.code, approved=True, by="chat:bob")
        with pytest.raises(Conflict, match="decided otherwise"):
            await place.channels.decide(notice.code, approved=False)
        await place.engine.advance(session)
        assert (await place.channels.asked(notice.code.upper())).decided == "approved"
        kinds = [s.event.kind for s in await place.app.service.events(session, after=0, limit=99)]
        assert kinds.count("tool_approved") == 1

    play(scene)


def test_a_code_is_good_for_its_request_its_arguments_and_its_recipient_alone(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        await place.say("risk")
        notices = {n.address.thread: n for n in await place.tell()}
        code = notices["ops"].code
        forged = [code[:n] + ("a" if code[n] != "a" else "b") + code[n + 1 :] for n in range(56)]
        for wrong in (*forged, "", code[:-8], code + code, "é" * 56, "A" * 56):
            with pytest.raises(NotFound, match="nothing was decided"):
                await place.channels.decide(wrong, approved=True)
        database.execute(
            """UPDATE events SET data = jsonb_set(data, '{call,arguments,number}', '2')
            WHERE data->>'kind' = 'tool_requested'"""
        )
        with pytest.raises(NotFound):
            await place.channels.decide(code, approved=True)
        database.execute(
            """UPDATE events SET data = jsonb_set(data, '{call,arguments,number}', '1')
            WHERE data->>'kind' = 'tool_requested'"""
        )
        object.__setattr__(place.channels, "approvals_to", ())  # no longer one who decides
        with pytest.raises(NotFound):
            await place.channels.decide(code, approved=True)
        object.__setattr__(place.channels, "approvals_to", (OPS,))
        keys = place.channels.keys
        object.__setattr__(place.channels, "keys", ["another", *keys])  # a rotation
        await place.channels.decide(code, approved=True)

    play(scene, OPS)


def test_a_code_belongs_to_whom_it_was_sent_whoever_joins_the_thread(play: Play) -> None:
    def written_by(name: str) -> Address:
        return replace(THREAD, details={"to": name, "by": name})

    async def scene(place: Place) -> None:
        session = await place.channels.receive(
            written_by("ann@x.test"), text="risk", key="m1", by="chat:ann"
        )
        await place.engine.advance(session)
        (asked,) = await place.tell()
        joins = written_by("bob@x.test")
        await place.channels.receive(joins, text="me too", key="m2", by="chat:bob")
        (recipient,) = await place.channels.recipients.of(session)
        assert recipient.address.details == {"to": "ann@x.test", "by": "bob@x.test"}
        with pytest.raises(NotFound):
            await place.channels.holder(asked.code, to="bob@x.test")
        assert (await place.channels.asked(asked.code)).tool == "risk", "by the page"
        await place.channels.recipients.follow(session, joins)  # as if both had begun at once
        with pytest.raises(NotFound):
            await place.channels.decide(asked.code, approved=True, to="bob@x.test")
        assert await place.channels.decide(asked.code, approved=True, to="ANN@x.test") == session

    play(scene)


@pytest.mark.parametrize("answer", ["no, never", ""])
def test_an_answer_is_no_approval(play: Play, answer: str) -> None:
    async def scene(place: Place) -> None:
        session = await place.say("risk")
        (asked,) = await place.tell()
        with pytest.raises(Conflict, match="no question"):
            await place.channels.decide(asked.code, approved=True, answer=answer)
        assert not (await place.channels.asked(asked.code)).decided
        assert await place.channels.decide(asked.code, approved=True) == session

    play(scene)


def test_what_nobody_decides_in_time_is_told_to_all_who_were_asked(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        session = await place.say("risk")
        asked = await place.tell()
        database.execute(
            """UPDATE events SET data = jsonb_set(data, '{expires_at}', '"2020-01-01T00:00:00Z"')
            WHERE data->>'kind' = 'tool_requested'"""
        )
        database.execute("UPDATE sessions SET wake_at = now() - interval '1 s'")
        await place.app.upkeep.sweep()
        await place.engine.advance(session)
        told = [n for n in await place.tell() if n.text == "Nobody has decided on c1 in time."]
        late = {n.address.thread: n.kind for n in told}
        assert late == {"room/1": "trouble", "ops": "trouble"}
        code = next(n.code for n in asked if n.code)
        with pytest.raises(Conflict):
            await place.channels.decide(code, approved=True)

    play(scene, OPS)


def test_a_channel_that_is_away_is_tried_again_later_and_told_that_it_was_tried(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        await place.say()
        place.chat.faults = [Unavailable("away"), RuntimeError("a fault of ours")]
        first = await place.tell()
        assert await place.tell() == []
        due_now(database)
        second = await place.tell()
        due_now(database)
        third = await place.tell()
        assert [n.tried for n in (*first, *second, *third)] == [False, True, True]
        assert len({n.key for n in (*first, *second, *third)}) == 1
        due_now(database)
        assert await place.tell() == []

    play(scene)


def test_a_wait_that_a_channel_asks_for_is_kept_however_often_it_was_queued(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        await place.say()
        for _ in range(3):  # while no worker has time
            await place.deliverer.sweep()
            database.execute("UPDATE recipients SET due_at = now() - interval '1 s'")
        tasks, place.queue.sent = place.queue.sent, []
        place.chat.faults = [Unavailable("asks to wait", retry_after=3600)]
        for _, task in tasks:
            await place.deliverer.deliver(*(task[name] for name in WHO))
        assert len(place.chat.told) == 1
        due_now(database)
        assert [n.tried for n in await place.tell()] == [True]
        database.execute(LEFT)
        await place.say("more", key="m2")
        assert [n.tried for n in await place.tell()] == [False]

    play(scene)


def test_what_somebody_says_while_they_are_told_is_where_the_next_answer_goes(play: Play) -> None:
    async def scene(place: Place) -> None:
        session = await place.say()

        async def meanwhile() -> None:
            newer = Address("chat", THREAD.thread, {"user": "Bob"})
            await place.channels.receive(newer, text="and?", key="m2", by="chat:bob")

        place.chat.held = meanwhile
        await place.tell()
        place.chat.held = None
        await place.engine.advance(session)
        (notice,) = await place.tell()
        assert (notice.text, notice.address.details) == ("I hear: and?", {"user": "Bob"})

    play(scene)


def test_what_will_never_arrive_is_a_dead_letter_and_what_comes_after_it_arrives(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        await place.say()
        place.chat.faults = [Undeliverable("there is no such room")]
        await place.tell()
        await place.say("more", key="m2")
        assert [n.text for n in await place.tell()] == ["I hear: more"]
        (letter,) = await place.channels.recipients.letters(limit=9)
        assert (letter["kind"], letter["reason"]) == ("answer", "there is no such room")
        assert await place.app.reports.dead_letters() == 1
        assert await place.channels.recipients.revive([letter["id"]]) == 1
        place.chat.faults = [Unavailable("away")]
        assert [n.tried for n in await place.tell()] == [True]
        (letter,) = await place.channels.recipients.letters(limit=9)
        assert "given up" in letter["reason"]
        assert await place.tell() == []
        await place.channels.recipients.revive([letter["id"]])
        assert [n.text for n in await place.tell()] == ["I hear: hello"]
        assert await place.app.reports.dead_letters() == 0
        assert await place.tell() == []

    play(scene)


def test_after_many_tries_it_is_given_up(play: Play, database: Database) -> None:
    async def scene(place: Place) -> None:
        session = await place.say()
        database.execute("UPDATE recipients SET tries = %s", [MOST_TRIES - 1])
        place.chat.faults = [Unavailable("away")]
        await place.tell()
        assert await place.app.reports.dead_letters() == 1
        assert await place.app.service.sessions.delete(session)
        assert await place.app.reports.dead_letters() == 0
        assert database.execute("SELECT * FROM recipients").fetchall() == []

    play(scene)


def test_of_two_workers_one_tells_and_a_dead_ones_try_is_known_to_the_next(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        session = await place.say()
        who = (session, "chat", "room/1")
        started, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            started.set()
            await go_on.wait()

        place.chat.held = slow
        first = asyncio.create_task(place.deliverer.deliver(*who))
        await started.wait()
        await place.another().deliver(*who)
        assert len(place.chat.told) == 1
        database.execute("DELETE FROM processes")  # killed, before it could note it
        beaten = await place.app.processes.beat()
        database.execute("UPDATE recipients SET lease_owner = %s", [beaten + 1000])
        place.chat.held = None
        due_now(database)
        (again,) = await place.tell()
        assert (again.tried, again.key) == (True, place.chat.told[0].key)
        go_on.set()
        await first
        assert await place.tell() == []

    play(scene)


def test_a_worker_that_is_stopped_lets_its_recipient_go(play: Play, database: Database) -> None:
    async def scene(place: Place) -> None:
        await place.say()
        place.chat.faults = [asyncio.CancelledError()]
        with pytest.raises(asyncio.CancelledError):
            await place.tell()
        sql = "SELECT lease_owner, is_open, tries FROM recipients"
        assert database.execute(sql).fetchone() == (None, True, 1)

    play(scene)


def test_news_that_come_while_a_recipient_is_let_go_are_not_missed(
    play: Play, database: Database
) -> None:
    async def scene(place: Place) -> None:
        session = await place.say()
        recipients, who = place.channels.recipients, (session, "chat", "room/1")
        held = await recipients.claim(*who, owner=place.app.processes.id)
        assert held
        seq = (await place.app.service.thread(session)).seq
        with database.transaction():  # what somebody says just now, in the order of an append
            database.execute("UPDATE sessions SET seq = seq + 1, status = 'ready'")
            database.execute("UPDATE recipients SET is_open = true")
            releasing = asyncio.create_task(recipients.release(held, told=seq))
            await asyncio.to_thread(
                eventually,
                lambda: database.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone(),
                "it waits for what is said",
            )
        await releasing
        sql = "SELECT is_open, lease_owner FROM recipients"
        assert database.execute(sql).fetchone() == (True, None)

    play(scene)


def test_a_broker_that_is_away_delays_a_notice_no_longer_than_it_is(play: Play) -> None:
    async def scene(place: Place) -> None:
        await place.say()
        place.queue.is_down = True
        for _ in range(3):
            with pytest.raises(Unavailable):
                await place.tell()
        place.queue.is_down = False
        assert [n.text for n in await place.tell()] == ["I hear: hello"]

    play(scene)


def test_with_no_channel_nothing_is_looked_for(settings: Settings) -> None:
    async def swept() -> int:
        async with running(settings, "test") as app:
            object.__setattr__(app.channels, "recipients", None)
            return await app.deliverer.sweep()

    assert asyncio.run(swept()) == 0
