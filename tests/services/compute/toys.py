"""Small registered functions that do what jobs do, and tell by files what a test wants to know."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, SecretStr

from services import connections
from services.compute import child
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.errors import UpstreamBusy

if TYPE_CHECKING:
    from services.assemble import Services


class ToyRequest(BaseModel):
    """`runs` is a file that gets a line at each attempt; a job waits until `gate` exists."""

    number: int = 0
    runs: Path | None = None
    gate: Path | None = None
    port: int = 0
    failures: int = 0
    child: str = ""
    memory_mb: int = 0
    key: SecretStr | None = None


class ToyResult(BaseModel):
    number: int


@function(lane="io")
def echo(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    note(request, job)
    return ToyResult(number=request.number)


@function(lane="io", attempts=3)
def walk(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Goes on until its gate is open, and says so all the time."""
    note(request, job)
    job.log("on the way")
    job.artifact("map.png", url="/outputs/images/map.png")
    steps = 0
    while request.gate and not request.gate.exists():
        steps += 1
        job.progress(0.5, steps=steps)
        time.sleep(0.01)
    return ToyResult(number=request.number)


@function(lane="gpu", attempts=3)
def paint(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    return walk(request, services=services, job=job)


@function(lane="io", attempts=3)
def draw(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Keeps its picture before its gate opens."""
    services.files.keep(b"a picture", "images", ".png", owner=job.owner, job_id=job.id)
    return walk(request, services=services, job=job)


@function(lane="io", attempts=3)
def pay(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Pays once, goes on until its gate is open, and answers in which attempt it paid."""

    def buy() -> int:
        note(request, job)
        return job.attempt

    paid = job.once("receipt", buy)
    while request.gate and not request.gate.exists():
        job.check()
        time.sleep(0.01)
    if job.attempt <= request.failures:
        job.forget("receipt")
        raise UpstreamBusy("The goods are bad.", "商品有问题。", retry_after_seconds=0.1)
    return ToyResult(number=paid)


@function(lane="cpu")
def once(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Like walk, but has one attempt alone."""
    return walk(request, services=services, job=job)


@function(lane="io", attempts=3)
def stumble(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Finds its provider busy in its first attempts."""
    note(request, job)
    if job.attempt <= request.failures:
        raise UpstreamBusy("The provider is busy.", "服务商繁忙。", retry_after_seconds=0.1)
    return ToyResult(number=job.attempt)


@function(lane="io")
def crash(request: ToyRequest, *, services: "Services") -> ToyResult:
    raise ValueError("a secret path: /somewhere/private")


@function(lane="io")
def listen(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Waits for an answer that never comes, without a look at its job."""
    note(request, job)
    connections.open_pool().request("GET", f"http://127.0.0.1:{request.port}/", timeout=60)
    return ToyResult(number=0)


@function(lane="io", seconds=0.3)
def hang(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Hears nothing and has little time."""
    note(request, job)
    while request.gate and not request.gate.exists():
        time.sleep(0.01)
    return ToyResult(number=0)


@function(lane="io")
def reveal(request: ToyRequest, *, services: "Services") -> ToyResult:
    """Needs the secret itself."""
    assert request.key is not None
    return ToyResult(number=len(request.key.get_secret_value()))


@function(lane="io")
def fill(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Writes more than the disk takes."""
    assert request.gate is not None
    with request.gate.open("wb") as file:
        for _ in range(64):
            file.write(bytes(2**20))
    return ToyResult(number=0)


@function(lane="cpu")
def hoard(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Takes more memory than there is."""
    note(request, job)
    hoarded = [bytearray(2**24) for _ in range(1024)]
    return ToyResult(number=len(hoarded))


@function(lane="cpu")
def die(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Crashes as a C library does, with the signal *number*."""
    job.progress(0.25, loss=float("nan"))
    sys.stderr.write("the last words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), request.number)
    raise AssertionError("it is dead")


@function(lane="cpu")
def stubborn(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Ignores every signal that can be ignored, and its job."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    job.progress(0.1)
    note(request, job)
    while True:
        time.sleep(1)


@function(lane="cpu", attempts=1)
def nurse(request: ToyRequest, *, services: "Services", job: Job = SILENT) -> ToyResult:
    """Runs the toy that `child` names in a process of its own."""
    answer: ToyResult = child.run(
        f"toys.{request.child}", request, services=services, job=job, memory_mb=request.memory_mb, word_seconds=0.2
    )
    return answer


def note(request: ToyRequest, job: Job) -> None:
    """Leave a line for this attempt."""
    if request.runs:
        with request.runs.open("a") as file:
            file.write(f"{request.number} {job.attempt} {os.getpid()}\n")
