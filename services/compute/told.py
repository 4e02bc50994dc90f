"""What a job in another process tells, an object of JSON a line, and how it comes to the job that is watched."""

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from services.compute.progress import Job
from services.errors import Cancelled

LAST_WORDS = {"answer", "error"}


class TellingJob(Job):
    """A job whose progress, lines and artifacts go to another process; safe from many threads where `write` is."""

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.check()
        self.say({"progress": float(fraction), "metrics": metrics})

    def log(self, line: str) -> None:
        self.say({"log": line})

    def artifact(self, name: str, **facts: Any) -> None:
        self.say({"artifact": name, "facts": facts})

    def say(self, message: dict[str, Any]) -> None:
        """Write *message* as one line; one with `answer` or `error` is the last."""
        self.write(orjson.dumps(message, default=str, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")

    @abstractmethod
    def write(self, line: bytes) -> None:
        """Bring *line* to the other process, whole."""


def hand_on(lines: Iterable[bytes], job: Job, *, cancelled: Callable[[], None]) -> dict[str, Any] | None:
    """Tell *job* what a `TellingJob` says; its last word, None where it died without one.

    *cancelled* is called each time that the job says that it shall end.
    """
    for message in _messages(lines):
        if LAST_WORDS & message.keys():
            return message
        try:
            _tell(job, message)
        except Cancelled:
            cancelled()
    return None


def _tell(job: Job, message: dict[str, Any]) -> None:
    if "progress" in message:
        job.progress(message["progress"], **message["metrics"])
    elif "log" in message:
        job.log(message["log"])
    elif "artifact" in message:
        job.artifact(message["artifact"], **message["facts"])


def _messages(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        # The last line of a process that was killed may be cut, and libraries may write where a rank does.
        with contextlib.suppress(orjson.JSONDecodeError):
            message = orjson.loads(line)
            if isinstance(message, dict):
                yield message
