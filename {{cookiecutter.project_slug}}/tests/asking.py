"""Asks the runtime that the settings make, of a provider on the wire."""

import asyncio

import pytest

from {{ cookiecutter.package_name }}.adapters.runtime import Runtime, make_model
from {{ cookiecutter.package_name }}.agent.ports import Answer, Offer, Request, Said
from {{ cookiecutter.package_name }}.errors import ModelError
from {{ cookiecutter.package_name }}.settings import Settings

from .conftest import SECRET
from .formats import Say
from .wire import WORDS, Wire

KEY = "hunter2-key"
MODELS = {"openai": "openai:gpt-4.1", "anthropic": "anthropic:claude-sonnet-4-6"}
LOOK = Offer("look", "Look there.", {"type": "object", "properties": {"at": {"type": "integer"}}})
REQUEST = Request("Be short.", (Said("hi"),), (LOOK,))
HELLO = Say(text=WORDS)


class Ask:
    """Asks the runtime that the settings make."""

    def __init__(self, provider: str, environment: pytest.MonkeyPatch) -> None:
        self.provider = provider
        self.told: list[str] = []
        self.set = environment.setenv
        self.set("DATABASE_URL", "postgresql://app@db.example/app")
        self.set("SECRET_KEY", SECRET)
        self.set("MODEL", MODELS[provider])
        self.set("MODEL_TIMEOUT", "20")
        self.key(KEY)

    def key(self, key: str) -> None:
        self.set("OPENAI_API_KEY", key)
        self.set("ANTHROPIC_API_KEY", key)

    def runtime(self, url: str) -> Runtime:
        self.set("OPENAI_BASE_URL", f"{url}/v1")
        runtime = make_model(Settings.load(), anthropic_base_url=url)
        runtime.random = lambda: 0.0
        return runtime

    def __call__(self, wire: Wire, request: Request = REQUEST) -> Answer:
        runtime = self.runtime(wire.url)  # made before there is a loop, as a worker does

        async def answer() -> Answer:
            try:
                return await runtime.answer(request, on_text=self.told.append)
            finally:
                await runtime.close()

        return asyncio.run(answer())

    def fails(self, wire: Wire) -> str:
        """Why, without the name of the model."""
        with pytest.raises(ModelError) as caught:
            self(wire)
        return str(caught.value).removeprefix(f"{MODELS[self.provider]}: ")
