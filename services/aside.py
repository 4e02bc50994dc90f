"""Work of the processor that stalls nobody: beside a gevent worker's loop, so that its other clients are served."""

import sys
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")

# A crowd waits here instead of taking the memory of a large picture, or of a password's hash, each.
_turns = threading.BoundedSemaphore(2)


def run_aside(function: Callable[Parameters, Value], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Value:
    """What *function* returns, run in gevent's thread pool where gevent runs this process. Raises what it raises.

    For what takes some 20 ms or more of pure processor time; two run at once.
    """
    with _turns:
        monkey = sys.modules.get("gevent.monkey")
        if monkey is None or not monkey.is_module_patched("threading"):
            return function(*args, **kwargs)
        pool = sys.modules["gevent"].get_hub().threadpool
        outcome: Value | _Raised = pool.apply(_settle, (function, args, kwargs))
    if isinstance(outcome, _Raised):
        raise outcome.error
    return outcome


class _Raised:
    """An error on its way; gevent prints what is raised in its pool, for every wrong password and broken picture."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _settle(function: Callable[..., Value], args: tuple[object, ...], kwargs: dict[str, object]) -> "Value | _Raised":
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - raised again by who waits
        return _Raised(error)
