"""`make bench-data`: a data set uploaded and processed by the service, beside `datasets` on the same file.

    python -m tests.bench.data [--rows 1000000] [--kinds jsonl csv] [--rounds 1] [--json FILE]

The service's time is the client's: the upload over HTTP with all of its rows read and counted, and processing
(a template over three columns, 80/10/10 parts, JSONL). Its memory is the peak of the process that does the work,
and beside it that of the largest other one. The peer's time is load_dataset + map + train_test_split + to_json
with the import of the library, its memory its process's peak; it sends nothing over HTTP and hashes no file.
"""

import argparse
import csv
import http.client
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from tests.bench import processes, report
from tests.bench.data_peer import peak_mib
from tests.bench.processes import SERVICE, Program
from tests.live import ROOT
from tests.processes import all_pids, read_of

PEER = "datasets"
PEER_FOLDER = ROOT / ".venv" / "bench"
BLOCK_BYTES = 2**20
LOOK_SECONDS = 0.05
TEMPLATE = "### 指令:\n{instruction}\n{input}\n\n### 回答:\n{output}"
COLUMNS = ["instruction", "input", "output"]


def main() -> None:
    options = parse_options()
    processes.end_cleanly()
    seen: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        for kind in options.kinds:
            file = write_rows(Path(folder) / f"rows.{kind}", options.rows)
            seen[kind] = [compare(file, Path(folder) / f"{kind}-{number}") for number in range(options.rounds)]
            file.unlink()
    for kind, rounds in seen.items():
        print(f"\n{kind}, {options.rows:,} rows\n\n{shown(rounds)}")
    if options.json:
        Path(options.json).write_bytes(orjson.dumps(seen, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", choices=["jsonl", "json", "csv"], default=["jsonl", "csv"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", help="where some 3 GB may lie for a while")
    parser.add_argument("--json", help="a file for every figure of every round")
    return parser.parse_args()


def write_rows(path: Path, count: int) -> Path:
    """A file of *count* rows of some 500 bytes, the same each time."""
    rows = made_rows(count)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        return path
    array = path.suffix == ".json"
    with path.open("wb") as file:
        for number, row in enumerate(rows):
            file.write((b",\n" if number else b"[") if array else b"")
            file.write(orjson.dumps(row) + (b"" if array else b"\n"))
        file.write(b"]" if array else b"")
    return path


def made_rows(count: int) -> Iterator[dict[str, str]]:
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(3000)]
    for number in range(count):
        text = chance.choices(words, k=70)
        extra = " ".join(text[15:25]) if number % 3 else ""
        yield {
            "instruction": f"{number} " + " ".join(text[:15]),
            "input": extra,
            "output": " ".join(text[25:]) + '\n"好的"。',
        }


def compare(file: Path, folder: Path) -> dict[str, dict[str, float]]:
    """The figures of both on *file*, one after the other."""
    folder.mkdir()
    service = processes.service(folder, None)
    try:
        service.start()
        service.token = processes.log_in(service)
        figures = {SERVICE: through_service(service, file)}
    finally:
        service.stop()
    command = [sys.executable, "-m", "tests.bench.data_peer", str(file), str(folder), str(PEER_FOLDER)]
    more = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    ran = subprocess.run(
        command, cwd=ROOT, env=processes.clean_environment() | more, capture_output=True, text=True, check=True
    )
    told = orjson.loads(ran.stdout.splitlines()[-1])
    rate = told["rows"] / told["seconds"]
    figures[PEER] = {"seconds": told["seconds"], "rows/s": rate, "peak MiB": told["peak_mib"]}
    return figures


def through_service(service: Program, file: Path) -> dict[str, float]:
    with watched(service) as peaks:
        began = time.perf_counter()
        sent = upload(service, file)
        uploaded = time.perf_counter()
        asked = {"dataset_id": sent["id"], "output_name": "bench", "template": TEMPLATE}
        made = call(service, "POST", "/api/v1/datasets/process", orjson.dumps(asked), "application/json")
        ended = time.perf_counter()
    assert sum(made["splits"].values()) == sent["samples_count"]
    children = [peak for (_, works), peak in peaks.items() if works]
    others = [peak for (_, works), peak in peaks.items() if not works]
    return {
        "seconds": ended - began,
        "of these, upload": uploaded - began,
        "of these, process": ended - uploaded,
        "rows/s": sent["samples_count"] / (ended - began),
        "peak MiB": max(children or others),
        "peak MiB of any other process": max(others),
    }


class watched:  # noqa: N801  It reads as a verb where it is used.
    """The peaks of the service's processes while it is entered: (pid, whether it runs a job) -> MiB."""

    def __init__(self, service: Program) -> None:
        self._mark = f"INSTANCE_DIR={service.environment['INSTANCE_DIR']}".encode()
        self._ended = threading.Event()
        self.peaks: dict[tuple[int, bool], float] = {}
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> dict[tuple[int, bool], float]:
        self._thread.start()
        return self.peaks

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        known: dict[int, bool] = {}
        while not self._ended.wait(LOOK_SECONDS):
            for pid in all_pids():
                if pid not in known:
                    known[pid] = self._mark in read_of(pid, "environ").split(b"\0")
            for pid in [pid for pid, mine in known.items() if mine]:
                # Asked each time: a process that was just forked is its parent until it runs its own program.
                name = (pid, b"child_main" in read_of(pid, "cmdline"))
                self.peaks[name] = max(self.peaks.get(name, 0.0), peak_mib(str(pid)))


def upload(service: Program, file: Path) -> Any:
    """Send *file* as a form, in blocks."""
    edge = "a-line-between-parts-of-a-form"
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="name"\r\n\r\nbench\r\n'
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n'
    ).encode()
    tail = f"\r\n--{edge}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield head
        with file.open("rb") as sent:
            yield from iter(lambda: sent.read(BLOCK_BYTES), b"")
        yield tail

    size = len(head) + file.stat().st_size + len(tail)
    kind = f"multipart/form-data; boundary={edge}"
    return call(service, "POST", "/api/v1/datasets/upload", body(), kind, **{"Content-Length": str(size)})


def call(service: Program, method: str, path: str, body: Any, kind: str, **more: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=900)
    try:
        headers = {"Authorization": f"Bearer {service.token}", "Content-Type": kind, **more}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        told = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status} {told[:500]!r}")
    return orjson.loads(told)


def shown(rounds: list[dict[str, dict[str, float]]]) -> str:
    """Both side by side, medians of the rounds, and what the issue asks for below."""
    labels = list(rounds[0][SERVICE])
    figures = {
        name: {label: median(one[name][label] for one in rounds) for label in labels if label in rounds[0][name]}
        for name in (SERVICE, PEER)
    }
    rows = [[label, *(report.shown(figures[name].get(label)) for name in figures)] for label in labels]
    faster = figures[SERVICE]["rows/s"] / figures[PEER]["rows/s"]
    less = figures[SERVICE]["peak MiB"] / figures[PEER]["peak MiB"]
    return f"{report.table(['', *figures], rows)}\n\n{faster:.2f} times as fast, in {less:.2f} of the memory"


if __name__ == "__main__":
    main()
