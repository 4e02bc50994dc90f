"""Runs a registered function in a process of its own, supervised by the thread of its job.

Cancelling always works (a word, then SIGTERM, then SIGKILL), memory surely comes back, and a crash or an
out-of-memory ends the job and not the service. The child is a plain Python process that reads its task
from its standard input and writes what it has to say, a JSON object a line, to a pipe: nothing is
pickled, nothing is inherited, and its standard error becomes the job's log.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from services import cancellation
from services.compute import registry, told, wire
from services.compute.outcomes import out_of_memory
from services.compute.packing import Packer
from services.compute.progress import Job
from services.errors import ServiceError, Unavailable
from services.settings import ROOT

if TYPE_CHECKING:
    from services.assemble import Services

# After a cancel: how long the function may take to end by itself, and then to end by SIGTERM.
WORD_SECONDS = 5.0
TERM_SECONDS = 3.0
LOOK_SECONDS = 0.1


def run(
    name: str,
    request: BaseModel,
    *,
    services: "Services",
    job: Job,
    memory_mb: int = 0,
    word_seconds: float = WORD_SECONDS,
) -> Any:
    """What the function *name* returns for *request*, run in a new process; its progress is *job*'s.

    With *memory_mb* the child may use that much address space at most. Raises what the function raises,
    Cancelled, Unavailable when it ran out of memory, and ServiceError when it died.
    """
    read, write = os.pipe()
    with contextlib.ExitStack() as stack:
        messages = stack.enter_context(os.fdopen(read, "rb"))
        try:
            process = _start(write)
        finally:
            os.close(write)
        stack.callback(_reap, process)
        _tell(process, _task(name, request, services, job, memory_mb))
        log = threading.Thread(target=_read_log, args=(process, job), name="child-log", daemon=True)
        log.start()
        supervisor = threading.Thread(target=_supervise, args=(process, job, word_seconds), daemon=True)
        supervisor.start()
        # Whoever cancels is heard by the supervisor.
        answer = told.hand_on(messages, job, cancelled=lambda: None)
        process.wait()
        log.join(1)
    return _conclude(name, process, answer, job)


def _start(write: int) -> subprocess.Popen[bytes]:
    # A session of its own: ctrl-C is for the service, and killing the group takes the child's own children too.
    return subprocess.Popen(
        [sys.executable, "-m", "services.compute.child_main", str(write)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[write],
        start_new_session=True,
    )


def _task(name: str, request: BaseModel, services: "Services", job: Job, memory_mb: int) -> bytes:
    function = registry.find(name)
    return orjson.dumps(
        {
            "module": function.call.__module__,
            "name": name,
            "request": Packer(services.settings).pack(request),
            "settings": services.settings.model_dump(mode="json"),
            "job": {"id": job.id, "owner": job.owner, "request_id": job.request_id, "attempt": job.attempt},
            "memory_mb": memory_mb,
            "parent": os.getpid(),
        }
    )


def _tell(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(line + b"\n")
        process.stdin.flush()


def _read_log(process: subprocess.Popen[bytes], job: Job) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        job.log(line.decode(errors="replace"))


def _supervise(process: subprocess.Popen[bytes], job: Job, word_seconds: float) -> None:
    """End the child when the job shall end: first it is asked, then told, then killed."""
    while process.poll() is None and not job.cancelled:
        time.sleep(LOOK_SECONDS)
    for action, seconds in ((_ask, word_seconds), (_terminate, TERM_SECONDS), (_kill, TERM_SECONDS)):
        if process.poll() is None:
            action(process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


def _ask(process: subprocess.Popen[bytes]) -> None:
    _tell(process, b'{"cancel": true}')


def _terminate(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the child behind, however this ends."""
    _kill(process)
    process.wait()
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _conclude(name: str, process: subprocess.Popen[bytes], answer: dict[str, Any] | None, job: Job) -> Any:
    """The answer, or the reason why there is none."""
    if answer is not None and "answer" in answer:
        return registry.find(name).answer.validate_python(answer["answer"])
    job.check()
    if switch := cancellation.current():
        switch.check()
    if answer is not None:
        wire.raise_packed(answer["error"])
    raise _death(process.returncode)


def _death(code: int) -> ServiceError:
    """Why a child ended without a word. SIGKILL that was not ours is the kernel's, when memory is short."""
    if code == -signal.SIGKILL:
        killed = out_of_memory()
        killed.details["exit_code"] = code
        return killed
    return Unavailable(
        "The process of this job died ({cause}); the job's log lines say more.",
        "该任务的进程异常退出（{cause}），详见任务日志。",
        cause=signal.Signals(-code).name if code < 0 else f"exit code {code}",
        details={"reason": "child_died", "exit_code": code},
    )
