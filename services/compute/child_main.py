"""The other side of `child.py`: a process that runs one function and ends."""

import importlib
import os
import resource
import sys
import threading
import time
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from services.assemble import assemble
from services.cancellation import Cancellation, cancellable
from services.compute import registry
from services.compute.outcomes import explain, pack
from services.compute.packing import Packer
from services.compute.told import TellingJob
from services.errors import ServiceError
from services.settings import Settings

ORPHAN_LOOK_SECONDS = 0.5
ORPHANED = 3


class ChildJob(TellingJob):
    """The job as the child sees it: what it says goes through the pipe, which its parent throttles."""

    def __init__(self, facts: dict[str, Any], pipe: BinaryIO, switch: Cancellation) -> None:
        self.id, self.owner = facts["id"], facts["owner"]
        self.request_id, self.attempt = facts["request_id"], facts["attempt"]
        self._pipe, self._switch = pipe, switch
        self._lock = threading.Lock()

    def check(self) -> None:
        self._switch.check()

    @property
    def cancelled(self) -> bool:
        return self._switch.reason is not None

    def write(self, line: bytes) -> None:
        with self._lock:
            self._pipe.write(line)
            self._pipe.flush()


def main() -> None:
    """Read the task, run it, say how it ended."""
    task = orjson.loads(sys.stdin.buffer.readline())
    switch = Cancellation()
    threading.Thread(target=_hear_parent, args=(switch,), daemon=True).start()
    threading.Thread(target=_mourn, args=(task["parent"],), daemon=True).start()
    with os.fdopen(int(sys.argv[1]), "wb") as pipe:
        job = ChildJob(task["job"], pipe, switch)
        job.say(_answer(task, job, switch))
    # Threads of libraries must not hold up the end.
    sys.stderr.flush()
    os._exit(0)


def _answer(task: dict[str, Any], job: ChildJob, switch: Cancellation) -> dict[str, Any]:
    try:
        if task["memory_mb"]:
            most_bytes = task["memory_mb"] * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
        with cancellable(switch):
            return {"answer": _run(task, job)}
    except ServiceError as error:
        return {"error": pack(error)}
    except Exception as error:  # noqa: BLE001  Its traceback is the job's log; the parent gets the sentence.
        sys.excepthook(type(error), error, error.__traceback__)
        return {"error": pack(explain(error))}


def _run(task: dict[str, Any], job: ChildJob) -> Any:
    importlib.import_module(task["module"])
    function = registry.find(task["name"])
    settings = Settings(_env_file=None, **task["settings"])
    services = assemble(settings, place="child")
    try:
        request = Packer(settings).unpack(function.request, task["request"])
        answer = function.call(request, services=services, job=job)
        return function.answer.dump_python(answer, mode="json")
    finally:
        services.close()


def _hear_parent(switch: Cancellation) -> None:
    """A line asks the work to end; the end of the input means that the parent is gone."""
    if sys.stdin.buffer.readline():
        switch.cancel("cancelled")
        while sys.stdin.buffer.readline():
            continue
    os._exit(ORPHANED)


def _mourn(parent: int) -> None:
    """End with the parent, even if a fork of it keeps our pipes open."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_LOOK_SECONDS)
    os._exit(ORPHANED)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
