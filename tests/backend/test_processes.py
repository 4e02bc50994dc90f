"""The processes: one host for all workers, and nothing left running however the service ends."""

import gc
import json
import os
import runpy
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from backend.gunicorn_worker import TALLY
from tests.live import ROOT, LiveServer, wait_for
from tests.processes import children_of, open_sockets

SECONDS = 10
QUESTION = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Tell me a long story."}]}


def stream(server: LiveServer, headers: dict[str, str], **changes: object) -> requests.Response:
    answer = requests.post(
        f"{server.url}/api/chat/stream", json=QUESTION | changes, headers=headers, stream=True, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer


def frames(answer: requests.Response) -> list[str]:
    return [line[6:].decode() for line in answer.iter_lines() if line.startswith(b"data: ")]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(live: LiveServer, how: signal.Signals) -> None:
    live.workers = 2
    live.start()
    assert len(live.host_pids()) == 2, "one host: a master and a worker"
    live.stop(how)
    wait_for(lambda: not live.processes(), what="every process to end", seconds=20)
    assert "_removeHandlerRef" not in live.read_log(), "what was frozen outlived what it needs to end itself"


@pytest.mark.slow
def test_a_crowd_is_shared_by_the_workers_also_when_one_was_killed(live: LiveServer) -> None:
    live.workers = 2
    live.start()
    wait_for(lambda: len(web_workers(live)) == 2, what="the second worker to start")
    wait_for(lambda: shares_evenly(live), what="both to take connections")
    killed = web_workers(live)[0]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(set(web_workers(live)) - {killed}) == 2, what="another worker to start")
    wait_for(lambda: shares_evenly(live), what="both to take connections again")


def web_workers(server: LiveServer) -> list[int]:
    return sorted(set(children_of(server.process.pid)) - set(server.host_pids()))


def shares_evenly(server: LiveServer) -> bool:
    """Whether each worker gets about half of 24 clients that connect at once."""
    workers = web_workers(server)
    before = [open_sockets(pid) for pid in workers]
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(24)]
    try:
        for client in clients:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
        for client in clients:
            client.settimeout(SECONDS)
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        more = [open_sockets(pid) - held for pid, held in zip(workers, before, strict=True)]
        return len(workers) == 2 and min(more) >= 8
    finally:
        for client in clients:
            client.close()


def test_a_dead_worker_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    try:
        conf = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    finally:
        gc.enable()
    TALLY.open(5)
    conf["child_exit"](None, SimpleNamespace(age=5, pid=os.getpid()))
    assert TALLY.connections(5) == -1


@pytest.mark.slow
def test_a_killed_host_costs_one_error_frame(live: LiveServer) -> None:
    live.start()
    headers = live.login()
    answer = stream(live, headers, max_tokens=1000)
    lines = (line for line in answer.iter_lines() if line.startswith(b"data: "))
    assert "content" in json.loads(next(lines)[6:])
    for pid in live.host_pids():
        os.kill(pid, signal.SIGKILL)
    rest = [line[6:].decode() for line in lines]
    assert json.loads(rest[-2])["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert rest[-1] == "[DONE]"
    assert requests.get(f"{live.url}/healthz", timeout=5).status_code == 200
    wait_for(lambda: len(live.host_pids()) == 2, what="the host to be started again", seconds=30)
    wait_for(live.answers, what="the new host to answer", seconds=30)
    assert frames(stream(live, headers, max_tokens=5))[-1] == "[DONE]"


@pytest.mark.slow
def test_a_stop_ends_streams_with_a_frame(live: LiveServer) -> None:
    live.start()
    answer = stream(live, live.login(), max_tokens=1000)
    lines = (line for line in answer.iter_lines() if line.startswith(b"data: "))
    next(lines)
    live.process.send_signal(signal.SIGTERM)
    rest = [line[6:].decode() for line in lines]
    assert "error" in json.loads(rest[-2])
    assert rest[-1] == "[DONE]"
    live.process.wait(40)


@pytest.mark.slow
def test_usage_survives_a_clean_stop(live: LiveServer) -> None:
    live.start()
    headers = live.login()
    frames(stream(live, headers, max_tokens=3))
    live.stop()
    live.start()
    usage = requests.get(f"{live.url}/api/usage", headers=live.login(), timeout=10).json()
    assert usage["usage"][0]["key"] == "smollm2-135m-instruct"
    assert usage["usage"][0]["completion_tokens"] == 3
