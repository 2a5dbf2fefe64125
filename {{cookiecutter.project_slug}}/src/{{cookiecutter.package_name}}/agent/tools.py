"""Tools: a typed function is the schema that the model sees and the check of what it sends (A4)."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from ..errors import AppError
from .events import storable
from .ports import Offer

Permission = Literal["auto", "ask", "answer"]
ERROR_LENGTH = 300
ANYTHING = TypeAdapter[Any](Any)


class ToolError(AppError):
    """What a tool says it could not do; the model reads it and may try another way."""


@dataclass(frozen=True)
class Context:
    """What a tool is told beside its arguments, when it has a parameter of this type."""

    session_id: str
    key: str
    """The same for every repeat of this call: what makes a second one harmless."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[..., Any]
    permission: Permission = "auto"
    idempotent: bool = True
    """False: may not run twice, and without its end a person is asked what came of it."""
    seconds: float = 30
    context: str | None = None
    """The parameter that takes the Context."""

    @cached_property
    def offer(self) -> Offer:
        return Offer(self.name, self.description, self.arguments.model_json_schema())

    def check(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they will be used; a ToolError that names every fault."""
        try:
            checked = self.arguments.model_validate(arguments)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
            raise ToolError("; ".join(faults)) from None
        return checked.model_dump(mode="json", by_alias=True, round_trip=True)

    async def call(self, arguments: dict[str, Any], context: Context) -> Any:
        """The result as JSON can hold it, within the tool's time."""
        checked = self.arguments.model_validate(arguments)
        given = {name: getattr(checked, name) for name in type(checked).model_fields}
        if self.context:
            given[self.context] = context
        try:
            async with asyncio.timeout(self.seconds) as limit:
                if inspect.iscoroutinefunction(self.run):
                    result = await self.run(**given)
                else:
                    result = await asyncio.to_thread(self._run, given)
                if inspect.isawaitable(result):
                    result = await result
        except TimeoutError:
            if not limit.expired():
                raise
            raise ToolError(f"no result within {self.seconds:g} s") from None
        return plain(result)

    def _run(self, given: dict[str, Any]) -> Any:
        try:
            return self.run(**given)
        except StopIteration as error:
            raise RuntimeError("StopIteration") from error  # a thread can't hand on that one


@overload
def tool(function: Callable[..., Any]) -> Tool: ...
@overload
def tool(
    *, permission: Permission = "auto", idempotent: bool = True, seconds: float = 30
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    permission: Permission = "auto",
    idempotent: bool = True,
    seconds: float = 30,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Makes a tool of a function: its name, its docstring, its annotations."""

    def made(function: Callable[..., Any]) -> Tool:
        hints = get_type_hints(function, include_extras=True)
        hints.pop("return", None)
        context = next((name for name, hint in hints.items() if hint is Context), None)
        parameters = inspect.signature(function).parameters
        if untyped := parameters.keys() - hints.keys():
            raise TypeError(f"{function}: give a type to {', '.join(sorted(untyped))}")
        fields: dict[str, Any] = {
            name: (hints[name], ... if p.default is p.empty else p.default)
            for name, p in parameters.items()
            if name != context
        }
        name = getattr(function, "__name__", "tool")
        config = ConfigDict(extra="forbid", title=name)
        return Tool(
            name=name,
            description=inspect.getdoc(function) or "",
            arguments=create_model(name, __config__=config, **fields),
            run=function,
            permission=permission,
            idempotent=idempotent,
            seconds=seconds,
            context=context,
        )

    return made(function) if function else made


def plain(value: object) -> Any:
    """The value as JSON can hold it."""
    try:
        return storable(ANYTHING.dump_python(value, mode="json", by_alias=True, fallback=str))
    except ValueError:  # bytes that are no text, a list that holds itself
        return storable(str(value))


def brief(error: BaseException) -> str:
    """An error in so few words that the model is helped and its context not filled (A9)."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, AppError):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= ERROR_LENGTH else f"{text[:ERROR_LENGTH]}…"
