"""What a job is called, and who runs it: a name by which the process can later be found dead.

A pid alone says little: it is used again, and two containers may share a host name. So a runner's name
is host and pid namespace, pid, the time the process started, and a few random characters for several
runners in one process.
"""

import os
import secrets
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path


def new_job_id() -> str:
    """A UUID of version 7, which begins with the time: 74 random bits follow.

    New ones lie side by side in the index, where random ones each change a page of their own: a third of the time
    that a commit of many jobs takes. Source: RFC 9562, section 5.7.
    """
    milliseconds = time.time_ns() // 1_000_000
    high, low = secrets.randbits(12), secrets.randbits(62)
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))


@cache
def this_host() -> str:
    """This machine, or this container: wherever a pid means one process."""
    namespace = ""
    with suppress(OSError):
        namespace = f"-{Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{socket.gethostname()[:60]}{namespace}"


def runner_name() -> str:
    """A new name for a runner in this process."""
    pid = os.getpid()
    return f"{this_host()}:{pid}:{_started(pid)}:{secrets.token_hex(4)}"


def is_dead(runner: str) -> bool:
    """Whether *runner*'s process is surely gone; False for another host's, of which nothing is known."""
    host, _, rest = runner.partition(":")
    pid, _, started = rest.partition(":")
    if host != this_host() or not pid.isdigit():
        return False
    return _started(int(pid)) != started.partition(":")[0]


def _started(pid: int) -> str:
    """When process *pid* started, in clock ticks since boot; `gone` when there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "gone" if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        return "gone" if Path("/proc/self").exists() else _answers(pid)


def _answers(pid: int) -> str:
    """Without /proc: whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        return "there"
    return "there"
