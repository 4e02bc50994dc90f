"""What Linux tells of processes in /proc; one that ends while it is looked at tells nothing, and is no error."""

from contextlib import suppress
from pathlib import Path


def all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def read_of(pid: int, name: str) -> bytes:
    """A file such as `environ`, `cmdline`, `status`; empty for a process that has ended."""
    try:
        # A zombie still has a folder and an empty file.
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """False for a zombie too, which only waits to be asked how it ended."""
    state = read_of(pid, "stat").rpartition(b")")[2].split()[:1]
    return bool(state) and state[0] not in (b"Z", b"X")


def children_of(pid: int) -> list[int]:
    """The processes that any thread of *pid* started and that have not been asked how they ended."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, read_of(pid, f"task/{task.name}/children").split())
    return found


def open_sockets(pid: int) -> int:
    """How many of its open files are sockets."""
    found = 0
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            # A file may be closed since it was listed.
            with suppress(OSError):
                found += str(link.readlink()).startswith("socket:")
    return found


def memory_mb(pids: list[int]) -> dict[int, float]:
    """What each of the processes takes, in MiB."""
    lines = {pid: read_of(pid, "status").splitlines() for pid in pids}
    found = ((pid, line) for pid, status in lines.items() for line in status if line.startswith(b"VmRSS"))
    return {pid: int(line.split()[1]) / 1024 for pid, line in found}
