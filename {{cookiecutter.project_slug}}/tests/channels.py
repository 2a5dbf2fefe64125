"""What channels share, in memory, for the tests of a single one."""

from typing import Any, cast

from {{ cookiecutter.package_name }}.channels import Address, Channels, Recipient
from {{ cookiecutter.package_name }}.errors import NotFound

from .fakes import FakeParts


class FakeChannels:
    """Notes what came, and raises what it was told to."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.decided: list[dict[str, Any]] = []
        self.holders: dict[str, Address] = {}
        self.fault: Exception | None = None

    async def receive(self, address: Address, **given: Any) -> str:
        self._answer()
        self.received.append({"address": address, **given})
        return "a-session"

    async def decide(self, code: str, **given: Any) -> str:
        self._answer()
        self.decided.append({"code": code, **given})
        return "a-session"

    async def holder(self, code: str, *, to: str = "") -> Recipient:
        address = self.holders.get(code)
        if address is None or to not in {"", address.details.get("to"), address.thread}:
            raise NotFound("this code is not good")
        return Recipient(session_id="a-session", place="p", address=address, is_origin=True)

    def _answer(self) -> None:
        if self.fault:
            raise self.fault


class NotedParts(FakeParts):
    """With channels that note what comes."""

    def __init__(self) -> None:
        super().__init__()
        self.noted = FakeChannels()

    @property
    def channels(self) -> Channels:
        return cast("Channels", self.noted)
