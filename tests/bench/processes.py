"""The programs that are measured, each started in a folder of its own and ended with all it started."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.live import ADMIN_PASSWORD, ROOT, free_port

SERVICE = "this service"
WORKERS = 2
# Enough for every stream that is measured: a thread proxy with fewer would only be refused its work.
THREADS = 300
LONGEST_START_SECONDS = 30.0


@dataclass
class Program:
    """A program on a port; `ready_seconds` is from its start to its first answer of *health*."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    port: int
    health: str = "/health"
    token: str = ""
    ready_seconds: list[float] = field(default_factory=list)

    def start(self) -> "Program":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "output.log"
        started = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=clean_environment() | self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not answers(self.port, self.health):
            self._expect_life(started)
            time.sleep(0.01)
        self.ready_seconds.append(time.perf_counter() - started)
        return self

    def _expect_life(self, started: float) -> None:
        if self.process.poll() is not None or time.perf_counter() - started > LONGEST_START_SECONDS:
            self.stop()
            raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End it, by force when it takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def workers(self) -> list[int]:
        """Its web workers."""
        return [pid for pid in children(self.process.pid) if b"backend.host" not in command_of(pid)]

    def worker_mib(self) -> float:
        """Resident memory of its largest web worker, in MiB."""
        return max(rss_mib(pid) for pid in self.workers())

    def worker_seconds(self) -> float:
        """Processor time that its web workers have used."""
        return sum(cpu_seconds(pid) for pid in self.workers())


def end_cleanly() -> None:
    """Let a SIGTERM end this program through its `finally`s, so that what it started ends with it."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("stopped"))


def clean_environment() -> dict[str, str]:
    """The environment without anybody's keys and addresses, and without what the house reads."""
    foreign = re.compile(
        r".*_(API_KEY|BASE_URL|URL)$|GUNICORN_CMD_ARGS|WEB_CONCURRENCY|SECRET_KEY|AUTH|LOG_.*|RATE_LIMIT_.*"
    )
    return {name: value for name, value in os.environ.items() if not foreign.fullmatch(name)}


def upstream(folder: Path, pieces_a_second: int) -> Program:
    """The local provider that all of them call."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.upstream", str(port), str(pieces_a_second)]
    return Program("upstream", command, {}, folder / "upstream", port, health="")


def bare_proxy(folder: Path, provider: Program, worker_class: str) -> Program:
    """The 30 lines, served by gunicorn's threads or by gevent."""
    port = free_port()
    capacity = ["--threads", str(THREADS)] if worker_class == "gthread" else ["--worker-connections", "2000"]
    serving = ["-c", "/dev/null", "-w", str(WORKERS), "-k", worker_class, *capacity, "-b", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "gunicorn", *serving, "--no-control-socket", "tests.bench.bare_proxy:app"]
    environment = {"OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1"}
    return Program(f"bare {worker_class}", command, environment, folder / worker_class, port)


def service(folder: Path, provider: Program | None, **more: str) -> Program:
    """This service as it is run, with everything on: tokens, limits, logs to a file, usage."""
    port, home = free_port(), folder / "service"
    address = f"http://127.0.0.1:{provider.port}/v1" if provider else ""
    upstream_settings = {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": address} if provider else {}
    environment = {
        "INSTANCE_DIR": str(home / "instance"),
        "DATA_DIR": str(home / "data"),
        "MODELS_DIR": str(home / "models"),
        "LOG_FILE": str(home / "service.log"),
        "SECRET_KEY": "a-key-for-benchmarks-alone-0123456789",
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "AUTH": "required",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": str(WORKERS),
        "RATE_LIMIT_GENERATION": "1000000/minute",
        "RATE_LIMIT_DEFAULT": "1000000/minute",
        "RATE_LIMIT_STATUS": "1000000/minute",
        **upstream_settings,
        **more,
    }
    return Program(SERVICE, [sys.executable, "-m", "gunicorn", "wsgi:app"], environment, home, port)


def log_in(program: Program) -> str:
    """A real token of the first admin."""
    asked = orjson.dumps({"username": "admin", "password": ADMIN_PASSWORD})
    status, answer = ask(program.port, "POST", "/api/v1/login", asked)
    if status != 200:
        raise RuntimeError(f"no login: {status} {answer!r}")
    return str(orjson.loads(answer)["token"])


@contextmanager
def asking(module: str, *arguments: str, **more: str) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """A way to ask a peer that runs without the service: *module* answers each line of its input with a line."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=clean_environment() | more,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin and process.stdout
    process.stdout.readline()

    def told(plan: dict[str, Any]) -> dict[str, Any]:
        process.stdin.write(orjson.dumps(plan) + b"\n")
        process.stdin.flush()
        seen: dict[str, Any] = orjson.loads(process.stdout.readline())
        return seen

    try:
        yield told
    finally:
        process.stdin.close()
        process.wait(30)


def load(program: Program, **plan: Any) -> dict[str, Any]:
    """What the load generator saw of *program*; `worker_seconds` is what that cost its workers."""
    before = program.worker_seconds()
    asked = orjson.dumps({"port": program.port, "token": program.token, **plan}).decode()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.load", asked], cwd=ROOT, capture_output=True, timeout=120, check=True
    )
    seen: dict[str, Any] = orjson.loads(ran.stdout)
    return seen | {"worker_seconds": program.worker_seconds() - before}


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(port: int, path: str) -> bool:
    """Whether *path* answers 200; without a path, whether anybody listens."""
    try:
        if path:
            return ask(port, "GET", path)[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.connect()
        connection.close()
    except (OSError, http.client.HTTPException):
        return False
    return True


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def rss_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
