"""The domain functions that can be called, streamed or queued by name.

A function is registered under `module.function` and stays plain: the decorator returns it unchanged.
All of `services.domains` is found by walking the package, so a new domain is one new file.
"""

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter

Lane = Literal["gpu", "cpu", "io"]
Plain = TypeVar("Plain", bound=Callable[..., Any])


@dataclass(frozen=True)
class Function:
    """A registered domain function and what the house needs to know to run it."""

    name: str
    call: Callable[..., Any]
    request: type[BaseModel]
    answer: TypeAdapter[Any]
    streams: bool
    takes_job: bool
    needs_engine: bool
    lane: Lane
    resumable: bool
    attempts: int
    seconds: float | None = None
    """A job that runs longer ends as failed; None sets no limit."""
    lane_of: Callable[..., Lane] | None = None
    """`lane_of(request, services=…, owner=…)` is a request's own lane, where requests differ."""


_functions: dict[str, Function] = {}


def function(
    *,
    needs_engine: bool = False,
    lane: Lane = "io",
    resumable: bool = False,
    attempts: int = 1,
    seconds: float | None = None,
    lane_of: Callable[..., Lane] | None = None,
) -> Callable[[Plain], Plain]:
    """Register a domain function and return it unchanged.

    *needs_engine* sends it to the engine host; *lane* bounds how many jobs of its kind run at once, unless
    *lane_of* says it for each request, before its job is made, and refuses what cannot be done at all;
    *resumable* jobs go on after a crash, others are run again up to *attempts* times;
    a job that takes more than *seconds* ends as failed.
    """

    def register(plain: Plain) -> Plain:
        # `Services` is imported for type checkers alone, else domains and their assembly would import each other.
        hints = typing.get_type_hints(plain, localns={"Services": object})
        parameters = inspect.signature(plain).parameters
        answer, request = hints["return"], hints[next(iter(parameters))]
        streams = typing.get_origin(answer) is Iterator
        name = f"{plain.__module__.rpartition('.')[2]}.{plain.__name__}"
        _functions[name] = Function(
            name=name,
            call=plain,
            request=request,
            answer=TypeAdapter(typing.get_args(answer)[0] if streams else answer),
            streams=streams,
            takes_job="job" in parameters,
            needs_engine=needs_engine,
            lane=lane,
            resumable=resumable,
            attempts=attempts,
            seconds=seconds,
            lane_of=lane_of,
        )
        return plain

    return register


def find(name: str) -> Function:
    """The function registered as *name*; KeyError names the ones there are."""
    _walk()
    if name not in _functions:
        raise KeyError(f"no function {name!r}; there are {', '.join(sorted(_functions))}")
    return _functions[name]


def all_functions() -> dict[str, Function]:
    """Every registered function by name."""
    _walk()
    return dict(_functions)


@cache
def _walk() -> None:
    package = importlib.import_module("services.domains")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"services.domains.{module.name}")
