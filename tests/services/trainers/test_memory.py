"""Memory of the machine, of a container and of this process."""

from pathlib import Path

import pytest

from services.trainers import memory


def test_a_container_may_take_less_than_the_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.available_mb()
    for name, text in {
        "memory.max": str(64 * memory.MIB),
        "memory.current": str(40 * memory.MIB),
        "memory.stat": f"anon 5\ninactive_file {8 * memory.MIB}\nactive_file 0\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "GPU", tmp_path / "none")
    assert memory.available_mb() == pytest.approx(32)
    assert machine > 32


def test_a_container_without_a_bound_has_the_machines_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "GPU", tmp_path / "none")
    assert 100 < memory.available_mb() < float("inf")


def test_what_this_process_holds_is_told() -> None:
    before = memory.used_mb()
    held = bytearray(64 * memory.MIB)
    assert 50 < memory.used_mb() - before < 200
    assert memory.peak_mb() >= memory.used_mb() - 1 and held
