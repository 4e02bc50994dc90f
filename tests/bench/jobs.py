"""`make bench-jobs`: empty jobs through the thread runner, on SQLite and on PostgreSQL.

    python -m tests.bench.jobs [--jobs 2000] [--clients 32] [--rounds 3] [--only SQLite] [--json figures.json]

As in the service, greenlets of one process submit and threads of the engine host run. Jobs a second from the
first submit to the last end, the wait of a submit with many clients at once, and the time from a submit to the
start of its job when nothing else runs.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import orjson
import pgserver

from tests.bench import report
from tests.bench.processes import Program, clean_environment
from tests.live import ROOT, free_port

DATABASES = ("SQLite", "PostgreSQL")
LONGEST_SECONDS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=DATABASES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = [options.only] if options.only else DATABASES
    rounds = [{name: measure(name, options.jobs, options.clients) for name in names} for _ in range(options.rounds)]
    figures = {name: {label: [one[name][label] for one in rounds] for label in rounds[0][name]} for name in names}
    rows = [[label, *(report.shown(median(figures[name][label])) for name in names)] for label in rounds[0][names[0]]]
    print(report.table(["", *names], rows))
    if options.json:
        options.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def measure(name: str, jobs: int, clients: int) -> dict[str, float]:
    """The figures over an empty database of that kind."""
    temporary = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
    with temporary as folder, database(name, Path(folder)) as url:
        return submit(url, Path(folder), jobs, clients)


@contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of that kind."""
    if name == "SQLite":
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    with tempfile.TemporaryDirectory(prefix="bench-pg-") as data:
        server = pgserver.get_server(data, cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


def submit(url: str, folder: Path, jobs: int, clients: int) -> dict[str, float]:
    """What the submitter saw of an engine host over that database."""
    port = free_port()
    environment = {
        "DATABASE_URL": url,
        "ENGINE_URL": f"http://127.0.0.1:{port}",
        "INSTANCE_DIR": str(folder),
        "DATA_DIR": str(folder / "data"),
        "SECRET_KEY": "a-key-for-benchmarks-alone-0123456789",
    }
    serving = ["-c", "backend/host_conf.py", "-b", f"127.0.0.1:{port}", "tests.bench.empty_job:host()"]
    host = Program("engine host", [sys.executable, "-m", "gunicorn", *serving], environment, folder, port, health="")
    patched = [sys.executable, "-m", "gevent.monkey", "--module"]
    command = [*patched, "tests.bench.submitter", str(jobs), str(clients)]
    host.start()
    try:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=clean_environment() | environment,
            stdout=subprocess.PIPE,
            timeout=LONGEST_SECONDS,
            check=True,
        )
    finally:
        host.stop()
    seen: dict[str, float] = orjson.loads(ran.stdout)
    return seen


if __name__ == "__main__":
    main()
