"""Memory of this machine and this process, in MiB, of the GPU where there is one."""

import resource
from pathlib import Path

MIB = 2**20
MEMINFO = Path("/proc/meminfo")
GPU = Path("/dev/nvidiactl")
CGROUP = Path("/sys/fs/cgroup")


def available_mb() -> float:
    """What a new process could take: of the GPU where there is one, else of the machine or this container."""
    if GPU.exists():
        import torch

        if torch.cuda.is_available():
            return float(torch.cuda.mem_get_info()[0]) / MIB
    return min(_of_machine(), _of_container())


def used_mb() -> float:
    """What this process holds now: of the GPU where it uses one, else of the machine."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.memory_reserved() / MIB, 1)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * resource.getpagesize() / MIB, 1)


def peak_mb() -> float:
    """The most that this process ever held."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_reserved() / MIB, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _of_machine() -> float:
    lines = MEMINFO.read_text(encoding="ascii").splitlines() if MEMINFO.is_file() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) / 1024 if found else float("inf")


def _of_container() -> float:
    """What the container may take beyond what it has; what it keeps of files alone counts as free."""
    try:
        most = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        lines = (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return float("inf")
    cached = sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))
    return (most - used + cached) / MIB
