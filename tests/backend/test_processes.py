"""The processes: one host for all workers, and nothing left running however the service ends."""

import json
import os
import signal

import pytest
import requests

from tests.live import LiveServer, wait_for

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
