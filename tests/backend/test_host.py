"""The engine host over its connections: calls, streams, and what happens to jobs, told where somebody waits."""

import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from pydantic import BaseModel
from werkzeug.serving import make_server

from backend import answering, capacity
from backend.capacity import MOST_WAITING
from backend.host import Host, create_host
from services import cancellation, connections
from services.assemble import Services
from services.compute import wire
from services.compute.frames import HEAD, QUESTION
from services.compute.host_client import KEPT_SECONDS, MOST_KEPT, HostClient
from services.compute.registry import function
from services.compute.runners.host import HostRunner
from services.compute.watch import State
from services.engines import dlib_faces, embedder, vision
from services.errors import Busy, Cancelled, NotFound, ServiceError, Unavailable
from services.secrets import engine_token
from services.settings import Settings
from tests.live import wait_for
from tests.services.compute.conftest import PATIENCE_SECONDS, House, open_house

Serve = Callable[..., Callable[[], None]]


@pytest.fixture
def host(settings: Settings) -> Iterator[House]:
    settings.job_runner = "thread"
    house = open_house(settings, "host")
    yield house
    house.services.close()


@pytest.fixture
def serve(settings: Settings) -> Iterator[Serve]:
    """Serve a host's application at `settings.engine_url` until what it returns is called."""
    ends = []

    def begin(house: House, application: Host | None = None) -> Callable[[], None]:
        application = application or create_host(services=house.services)
        server = make_server("127.0.0.1", 0, application, threaded=True)
        settings.engine_url = f"http://127.0.0.1:{server.port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def end() -> None:
            application.close()
            server.shutdown()
            thread.join()
            server.server_close()

        ends.append(end)
        return end

    yield begin
    for end in ends:
        end()


@pytest.fixture
def web(settings: Settings, host: House, serve: Serve) -> Iterator[House]:
    """The side that waits; its runner hears the host."""
    serve(host)
    house = open_house(settings, "web")
    assert isinstance(house.jobs.runner, HostRunner)
    wait_for(house.jobs.runner.tells, what="the web to hear the host")
    yield house
    house.services.close()


def test_the_web_is_woken_by_what_the_host_tells(web: House, tmp_path: Path) -> None:
    # Whoever looks at the rows sees nothing happen.
    web.jobs._watch._states = lambda ids: dict.fromkeys(ids, State(1, False))
    gate = tmp_path / "gate"
    job = web.submit("walk", gate=gate)
    assert web.jobs.wait_for_change(job.model_copy(update={"revision": 1}), 60), "it began"
    threading.Timer(0.2, gate.touch).start()
    assert web.jobs.wait_for_change(job.model_copy(update={"revision": 1}), 60, for_end=True)
    assert web.jobs.show(job.id).status == "completed"


def test_a_cancel_wakes_who_waits_beside(web: House, host: House) -> None:
    web.jobs._watch._states = lambda ids: dict.fromkeys(ids, State(1, False))
    host.jobs.runner.stop()
    job = web.submit("echo").model_copy(update={"revision": 1})
    threading.Timer(0.2, web.jobs.cancel, [job.id]).start()
    assert web.jobs.wait_for_change(job, 60, for_end=True)
    assert web.jobs.show(job.id).status == "canceled"


def test_a_host_that_tells_nothing_more_delays_and_loses_nothing(web: House, host: House, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = web.submit("walk", gate=gate)
    host.until(job, "running")
    host.jobs.notices.close()
    wait_for(lambda: not web.jobs.runner.tells(), what="the web to know that it hears nothing")
    gate.touch()
    assert web.end_of(job).status == "completed"


class Number(BaseModel):
    value: int


stopped = threading.Event()


@function(needs_engine=True)
def double(request: Number, *, services: Services) -> int:
    return 2 * request.value


@function(needs_engine=True)
def refuse(request: Number, *, services: Services) -> int:
    raise Busy("Too many.", "过多。", retry_after_seconds=request.value)


@function(needs_engine=True)
def stumble(request: Number, *, services: Services) -> int:
    return request.value // 0


@function(needs_engine=True)
def wait(request: Number, *, services: Services) -> int:
    switch = cancellation.current()
    assert switch
    wait_for(lambda: switch.reason, what="the client to leave")
    stopped.set()
    return request.value


@function(needs_engine=True)
def count(request: Number, *, services: Services) -> Iterator[list[int]]:
    try:
        for value in range(request.value):
            yield [value] if value else []
    finally:
        stopped.set()


@function(needs_engine=True)
def trip(request: Number, *, services: Services) -> Iterator[list[int]]:
    yield [request.value]
    stopped.set()
    raise RuntimeError("an engine's fault")


@function(needs_engine=True)
def repeat(request: Number, *, services: Services) -> str:
    return "a" * request.value


@pytest.fixture
def client(settings: Settings, host: House, serve: Serve) -> HostClient:
    stopped.clear()
    serve(host)
    return HostClient(settings.engine_url, engine_token(settings))


def ask(client: HostClient, name: str, value: int = 1, seconds: float = PATIENCE_SECONDS) -> Any:
    answer = client.call(f"test_host.{name}", Number(value=value).model_dump_json().encode(), read_seconds=seconds)
    return orjson.loads(answer)


def pieces(client: HostClient, value: int, name: str = "count") -> Generator[bytes, None, None]:
    request = Number(value=value).model_dump_json().encode()
    return client.stream(f"test_host.{name}", request, silence_seconds=PATIENCE_SECONDS)


def local_port(client: HostClient) -> int:
    """The port of the only connection that is kept."""
    ((kept, _),) = client._kept
    return int(kept.connected.getsockname()[1])


def test_one_connection_serves_one_call_after_another_whatever_became_of_them(client: HostClient) -> None:
    assert ask(client, "double", 21) == 42
    port = local_port(client)
    with pytest.raises(Busy) as told:
        ask(client, "refuse", 7)
    assert told.value.retry_after_seconds == 7
    assert list(pieces(client, 3)) == [b"", b"[1]", b"[2]"]
    assert ask(client, "double", 4) == 8 and local_port(client) == port


@pytest.mark.parametrize(
    ("name", "error"), [("stumble", Unavailable), ("nobody", NotFound), ("double\nx", Unavailable)]
)
def test_what_fails_is_told_and_harms_no_other(client: HostClient, name: str, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        ask(client, name)
    assert ask(client, "double", 2) == 4


def test_many_at_once_are_answered_and_few_connections_stay(client: HostClient, host: House) -> None:
    with ThreadPoolExecutor(60) as threads:
        assert list(threads.map(lambda value: ask(client, "double", value), range(300))) == list(range(0, 600, 2))
    assert 1 <= len(client._kept) <= MOST_KEPT


def test_a_stream_that_is_closed_ends_the_work(client: HostClient) -> None:
    events = pieces(client, 2**60)
    assert [next(events), next(events)] == [b"", b"[1]"]
    events.close()
    assert stopped.wait(PATIENCE_SECONDS)
    assert not client._kept, "what else the host sends is nobody's answer"


def test_a_call_that_is_given_up_ends_at_once_on_both_sides(client: HostClient) -> None:
    switch = cancellation.Cancellation()
    threading.Timer(0.2, switch.cancel, ["client_left"]).start()
    with cancellation.cancellable(switch), pytest.raises(Cancelled):
        ask(client, "wait")
    assert stopped.wait(PATIENCE_SECONDS)


def test_a_host_that_is_silent_is_not_waited_for(client: HostClient) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        ask(client, "wait", seconds=0.2)


def takes_on(client: HostClient) -> bool:
    try:
        return ask(client, "double", 2) == 4
    except Busy:
        return False


@pytest.mark.parametrize(("bound", "name"), [("MOST_AT_WORK", "double"), ("MOST_OF_ONE", "count")])
def test_a_host_that_is_full_says_so_and_stays_well(
    settings: Settings, host: House, serve: Serve, monkeypatch: pytest.MonkeyPatch, bound: str, name: str
) -> None:
    monkeypatch.setattr(answering, bound, 3)
    stopped.clear()
    serve(host)
    client = HostClient(settings.engine_url, engine_token(settings))
    with ThreadPoolExecutor(3) as threads:
        streams = [pieces(client, 2**60) for _ in range(3)]
        assert list(threads.map(next, streams)) == [b"", b"", b""]
        with pytest.raises(Busy) as told:
            ask(client, name, 1)
        assert (name == "double") or ask(client, "double", 2) == 4, "another function has room"
        assert told.value.details["reason"] == "host_full" and told.value.retry_after_seconds
        assert orjson.loads(client.call(wire.HEALTH, read_seconds=PATIENCE_SECONDS))["pid"] == os.getpid()
        for stream in streams:
            stream.close()
        assert stopped.wait(PATIENCE_SECONDS)
        wait_for(lambda: takes_on(client), what="a place to be free")


def test_there_is_a_thread_for_all_that_is_taken_on_and_room_beside_a_full_queue() -> None:
    assert capacity.MOST_AT_WORK + capacity.MOST_WAITING < capacity.THREADS
    for engine in (vision, dlib_faces, embedder):
        assert engine.MOST_WAITING <= capacity.MOST_OF_ONE / 2 < capacity.MOST_AT_WORK / 2


def test_a_frame_that_is_too_large_ends_its_connection_alone(client: HostClient, settings: Settings) -> None:
    assert ask(client, "double", 1) == 2
    ((kept, _),) = client._kept
    kept.connected.settimeout(PATIENCE_SECONDS)
    kept.connected.sendall(HEAD.pack(2 * settings.max_json_mb * 2**20 + wire.MOST_ATTACHED_BYTES + 1, QUESTION, True))
    assert kept.connected.recv(1) == b""
    assert ask(client, "double", 2) == 4


def test_a_host_that_stops_lets_those_go_who_ask_nothing(settings: Settings, host: House, serve: Serve) -> None:
    end = serve(host)
    client = HostClient(settings.engine_url, engine_token(settings))
    assert ask(client, "double", 1) == 2
    kept = client._kept[0][0].connected
    kept.settimeout(0)
    end()
    wait_for(lambda: connections.peek(kept) is not None, what="the host to let go")
    serve(host)
    again = HostClient(settings.engine_url, engine_token(settings))
    again._kept.append(client._kept.pop())
    assert ask(again, "double", 3) == 6, "a dead connection is not used"


def test_nobody_is_answered_who_does_not_know_the_token(
    client: HostClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Unavailable):
        HostClient(settings.engine_url, "a guess").call(wire.HEALTH, read_seconds=PATIENCE_SECONDS)
    assert "no engine host answers at ENGINE_URL" in caplog.text
    token = {wire.TOKEN_HEADER: engine_token(settings)}
    assert requests.get(settings.engine_url, timeout=PATIENCE_SECONDS).status_code == 403
    assert requests.get(settings.engine_url, headers=token, timeout=PATIENCE_SECONDS).status_code == 426
    assert orjson.loads(client.call(wire.HEALTH, read_seconds=PATIENCE_SECONDS))["pid"] == os.getpid()


def test_the_host_forgets_whoever_left_and_keeps_few_who_wait(settings: Settings, host: House, serve: Serve) -> None:
    application = create_host(services=host.services)
    serve(host, application)
    waiting = application._answering._waiting
    clients = [HostClient(settings.engine_url, engine_token(settings)) for _ in range(2)]
    with ThreadPoolExecutor(80) as threads:
        asked = [threads.submit(ask, clients[number % 2], "double", number) for number in range(400)]
        assert [each.result() for each in asked] == list(range(0, 800, 2))
    assert 0 < len(waiting) <= MOST_WAITING
    for client in clients:
        for kept, _ in client._kept:
            kept.connected.close()
    wait_for(lambda: not waiting, what="the host to forget them")


def test_an_answer_that_nobody_takes_leaves_nothing_behind(settings: Settings, host: House, serve: Serve) -> None:
    application = create_host(services=host.services)
    serve(host, application)
    client = HostClient(settings.engine_url, engine_token(settings))
    asked = Number(value=20_000_000).model_dump_json().encode()
    frames = client._open(PATIENCE_SECONDS)
    frames.send(QUESTION, b"test_host.repeat\n" + asked)
    frames.connected.recv(10)
    frames.connected.close()
    wait_for(lambda: not application._answering._waiting, what="the host to forget it")
    assert ask(client, "double", 2) == 4


def test_a_connection_that_was_long_unused_is_not_used_again(client: HostClient) -> None:
    assert ask(client, "double", 1) == 2
    port = local_port(client)
    (kept, since) = client._kept.pop()
    client._kept.append((kept, since - KEPT_SECONDS - 1))
    assert ask(client, "double", 2) == 4
    assert local_port(client) != port and kept.connected.fileno() == -1


def test_an_error_in_a_stream_comes_after_what_was_yielded(client: HostClient) -> None:
    heard = []
    with pytest.raises(Unavailable, match="engine failed"):
        heard.extend(pieces(client, 3, name="trip"))
    assert ask(client, "double", 2) == 4 and stopped.is_set()


def test_a_stop_lets_a_question_that_has_come_be_answered(host: House) -> None:
    answering = create_host(services=host.services)._answering
    pairs = [socket.socketpair() for _ in range(2)]
    (asked, asker), (silent, _) = pairs
    asker.sendall(b"?")
    for one in (asked, silent):
        assert answering._may_wait(one)
    answering.close()
    assert connections.peek(silent) == b""
    assert asked.recv(1) == b"?" and connections.peek(asked) is None
    assert not answering._may_wait(asked), "after its answer it ends"
    for pair in pairs:
        for one in pair:
            one.close()


def test_who_knocks_goes_on_whatever_the_host_says(settings: Settings) -> None:
    knocked = threading.Event()

    class Refusing(HostClient):
        def call(self, name: str, request: bytes = b"", *, read_seconds: float) -> bytes:
            knocked.set()
            raise NotFound("The engine host has no function {name}.", "没有函数 {name}。", name=name)

    runner = HostRunner(Refusing("http://127.0.0.1:9", ""))
    for _ in range(2):
        knocked.clear()
        runner.knock()
        assert knocked.wait(PATIENCE_SECONDS)
