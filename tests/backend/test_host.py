"""The engine host over HTTP: what happens to jobs is told at once to the web, where somebody waits."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from backend.host import create_host
from services.compute.runners.host import HostRunner
from services.compute.watch import State
from services.settings import Settings
from tests.live import wait_for
from tests.services.compute.conftest import House, open_house

Serve = Callable[[House], Callable[[], None]]


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

    def begin(house: House) -> Callable[[], None]:
        server = make_server("127.0.0.1", 0, create_host(services=house.services), threaded=True)
        settings.engine_url = f"http://127.0.0.1:{server.port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def end() -> None:
            house.jobs.notices.close()
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


def test_a_stranger_hears_nothing(host: House) -> None:
    assert create_host(services=host.services).test_client().get("/jobs/notices").status_code == 403
