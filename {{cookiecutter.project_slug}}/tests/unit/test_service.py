"""The use cases, on ports in memory."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from {{ cookiecutter.package_name }}.agent.ports import Backing
from {{ cookiecutter.package_name }}.errors import NotFound, Unavailable
from {{ cookiecutter.package_name }}.service import ANSWER, Service

from ..fakes import FakeBacking, FakeChecks, FakeQueue


def make_service(*backing: Backing, queue: FakeQueue | None = None) -> Service:
    return Service(
        checks=FakeChecks(),
        queue=queue or FakeQueue(),
        backing=backing,
        retention=timedelta(days=1),
        ping_seconds=0.05,
    )


def test_asking_writes_a_row_and_queues_a_task() -> None:
    service = make_service(queue=(queue := FakeQueue()))
    check = asyncio.run(service.ask())
    assert asyncio.run(service.read(check.id)) == check
    assert queue.sent == [(ANSWER, {"check_id": str(check.id)})]


def test_a_check_asked_while_the_broker_is_down_is_kept_and_queued_by_the_sweep() -> None:
    service = make_service(queue=(queue := FakeQueue(is_down=True)))
    check = asyncio.run(service.ask())
    queue.is_down = False
    service.checks.stale = [check.id]  # type: ignore[attr-defined]
    assert asyncio.run(service.sweep()) == 1
    assert queue.sent == [(ANSWER, {"check_id": str(check.id)})]


def test_the_first_answer_counts() -> None:
    service = make_service()
    check = asyncio.run(service.ask())
    first = asyncio.run(service.answer(check.id, by="first"))
    assert asyncio.run(service.answer(check.id, by="second")) is None
    assert asyncio.run(service.read(check.id)) == first


def test_what_does_not_exist_is_named() -> None:
    missing = uuid4()
    with pytest.raises(NotFound, match=str(missing)):
        asyncio.run(make_service().read(missing))


def test_only_what_is_old_is_forgotten() -> None:
    service = make_service()
    check = asyncio.run(service.ask())
    assert asyncio.run(service.cleanup()) == 0
    assert asyncio.run(service.read(check.id)) == check


def test_each_backing_service_is_reported_by_itself() -> None:
    class Hanging(FakeBacking):
        async def ping(self) -> None:
            await asyncio.Event().wait()

    service = make_service(
        FakeBacking("good"),
        FakeBacking("bad", fault=Unavailable("it is down")),
        Hanging("slow"),
    )
    faults = asyncio.run(service.faults())
    assert faults == {"good": None, "bad": "it is down", "slow": "no answer within 0.05 s"}
