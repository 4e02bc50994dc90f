"""Films from the vendors: tasks that are asked for, polled, given up, and brought here."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from services import films
from services.cancellation import Cancellation, cancellable
from services.compute.progress import SILENT, Job, Value
from services.contracts.images import SourcePicture
from services.contracts.video import VideoModel, VideoRequest
from services.errors import Cancelled, Invalid, ServiceError, UpstreamFailed, UpstreamTimeout
from services.outbound import Outbound
from services.providers import ark_films, dashscope_films, find_provider, polling
from services.settings import Settings
from tests.fakes import samples
from tests.fakes.vendor import VendorFake

WAN, WAN_MOVES, SEEDANCE = "wan2.2-t2v-plus", "wan2.5-i2v-preview", "doubao-seedance-1-0-pro-250528"
PLACES = [("dashscope", WAN), ("ark", SEEDANCE)]
SOURCE = SourcePicture(samples.png(64, 64, "cat"), "image/png", 64, 64)
Open = Callable[[str, str], VideoModel]


@pytest.fixture(autouse=True)
def _ask_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(polling, "LONGEST_SECONDS", 0.05)


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Callable[[str], VendorFake]:
    return lambda vendor: request.getfixturevalue(f"{vendor}_fake")


@pytest.fixture
def open_model(upstream_settings: Settings, fake: Callable[[str], VendorFake]) -> Open:
    """Makes a camera at its vendor's fake, whose result addresses the operator allows."""

    def make(vendor: str, model: str) -> VideoModel:
        place, kind = fake(vendor), find_provider(vendor)
        assert kind
        host = place.url("/").split("/")[2]
        outbound = Outbound(upstream_settings.model_copy(update={"allowed_upstreams": host}))
        return kind(outbound, key=place.key, base_url=place.base_url, trusted=True).video(model, None)

    return make


@pytest.mark.parametrize(
    ("vendor", "model", "source"),
    [("dashscope", WAN, None), ("dashscope", WAN_MOVES, SOURCE), ("ark", SEEDANCE, None), ("ark", SEEDANCE, SOURCE)],
)
def test_a_film_is_made(
    open_model: Open, tmp_path: Path, vendor: str, model: str, source: SourcePicture | None
) -> None:
    shot = open_model(vendor, model).film(
        VideoRequest(prompt="a cat", seed=11), target=tmp_path / "film.mp4", source=source, job=SILENT
    )
    assert shot.seed == 11
    assert films.inspect(tmp_path / "film.mp4").num_frames > 0


def test_dashscope_is_asked_for_a_size_that_it_has(
    open_model: Open, fake: Callable[[str], VendorFake], tmp_path: Path
) -> None:
    request = VideoRequest(prompt="a cat", width=1200, height=680, seed=1)
    open_model("dashscope", "wan2.5-t2v-preview").film(request, target=tmp_path / "a.mp4", source=None, job=SILENT)
    sent = fake("dashscope").requests[0].json["parameters"]
    assert sent == {"seed": 1, "watermark": False, "size": "1280*720", "duration": 5}


def test_beside_a_picture_dashscope_is_asked_for_a_resolution(
    open_model: Open, fake: Callable[[str], VendorFake], tmp_path: Path
) -> None:
    request = VideoRequest(prompt="a cat", width=1200, height=680, seed=1, num_frames=240, fps=24)
    open_model("dashscope", WAN_MOVES).film(request, target=tmp_path / "a.mp4", source=SOURCE, job=SILENT)
    sent = fake("dashscope").requests[0].json["parameters"]
    assert sent == {"seed": 1, "watermark": False, "resolution": "720P", "duration": 10}


def test_ark_is_asked_for_what_it_has(open_model: Open, fake: Callable[[str], VendorFake], tmp_path: Path) -> None:
    request = VideoRequest(prompt="a cat", width=1080, height=1920, seed=1, num_frames=240, fps=8)
    open_model("ark", SEEDANCE).film(request, target=tmp_path / "a.mp4", source=None, job=SILENT)
    sent = fake("ark").requests[0].json
    assert (sent["resolution"], sent["ratio"], sent["duration"]) == ("1080p", "9:16", 12)
    assert sent["watermark"] is False


@pytest.mark.parametrize(("vendor", "model"), PLACES)
@pytest.mark.parametrize("word", ["SENSITIVE", "FAIL"])
def test_moderation_says_so(open_model: Open, tmp_path: Path, vendor: str, model: str, word: str) -> None:
    request = VideoRequest(prompt=f"a cat {word}")
    with pytest.raises(Invalid) as raised:
        open_model(vendor, model).film(request, target=tmp_path / "a.mp4", source=None, job=SILENT)
    assert raised.value.details == {"field": "prompt", "reason": "content_filter"}


@pytest.mark.parametrize(("vendor", "model"), PLACES)
@pytest.mark.parametrize("word", ["HTML", "LOOPBACK", "REDIRECT", "GONE", "ERROR200"])
def test_what_is_no_film_is_an_error(open_model: Open, tmp_path: Path, vendor: str, model: str, word: str) -> None:
    request = VideoRequest(prompt=f"a cat {word}")
    with pytest.raises(ServiceError) as raised:
        open_model(vendor, model).film(request, target=tmp_path / "a.mp4", source=None, job=SILENT)
    assert isinstance(raised.value, UpstreamFailed) or word == "ERROR200"


class Remembering(Job):
    """A job that is handed on at its first word, and then goes on as its next attempt, with what it remembers."""

    def __init__(self) -> None:
        self.memory: dict[str, object] = {}
        self.attempt = 0

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        if name not in self.memory:
            self.memory[name] = make()
        return cast(Value, self.memory[name])

    def forget(self, name: str) -> None:
        self.memory.pop(name)

    def progress(self, fraction: float, **metrics: object) -> None:
        self.attempt += 1
        if self.attempt == 1:
            raise Cancelled(reason="restarting")


@pytest.mark.parametrize(("vendor", "model"), PLACES)
def test_the_next_attempt_asks_after_the_same_task(
    open_model: Open, fake: Callable[[str], VendorFake], tmp_path: Path, vendor: str, model: str
) -> None:
    job, request = Remembering(), VideoRequest(prompt="a cat")
    with pytest.raises(Cancelled):
        open_model(vendor, model).film(request, target=tmp_path / "a.mp4", source=None, job=job)
    shot = open_model(vendor, model).film(request, target=tmp_path / "a.mp4", source=None, job=job)
    started = [sent.method for sent in fake(vendor).requests if sent.method in {"POST", "DELETE"}]
    assert started == ["POST"]
    assert shot.seed == job.memory["seed"]


@pytest.mark.parametrize(("vendor", "model"), PLACES)
def test_a_task_that_failed_is_not_asked_after_again(open_model: Open, tmp_path: Path, vendor: str, model: str) -> None:
    job, request = Remembering(), VideoRequest(prompt="a cat FAIL")
    job.attempt = 1
    with pytest.raises(Invalid):
        open_model(vendor, model).film(request, target=tmp_path / "a.mp4", source=None, job=job)
    assert list(job.memory) == ["seed"]


class Listening(Job):
    """A job that tells when it was asked to go on for the third time."""

    def __init__(self) -> None:
        self.polled = threading.Event()
        self._times = 0

    def progress(self, fraction: float, **metrics: object) -> None:
        self._times += 1
        if self._times == 3:
            self.polled.set()


@pytest.mark.parametrize(("vendor", "model", "asked"), [("dashscope", WAN, "POST"), ("ark", SEEDANCE, "DELETE")])
def test_a_film_that_nobody_wants_is_given_up_at_the_vendor(
    open_model: Open, fake: Callable[[str], VendorFake], tmp_path: Path, vendor: str, model: str, asked: str
) -> None:
    switch, job, camera = Cancellation(), Listening(), open_model(vendor, model)

    def throw() -> None:
        job.polled.wait(10)
        switch.cancel()

    thrower = threading.Thread(target=throw)
    thrower.start()
    with pytest.raises(Cancelled), cancellable(switch):
        camera.film(VideoRequest(prompt="a cat NEVER"), target=tmp_path / "a.mp4", source=None, job=job)
    thrower.join()
    last = fake(vendor).requests[-1]
    assert last.method == asked
    assert asked == "DELETE" or last.path.endswith("/cancel")


@pytest.mark.parametrize(
    ("vendor", "model", "module"), [("dashscope", WAN, dashscope_films), ("ark", SEEDANCE, ark_films)]
)
def test_a_film_that_never_ends_runs_out_of_time(
    open_model: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: str, model: str, module: object
) -> None:
    monkeypatch.setattr(module, "MOST_TASK_SECONDS", 0.2)
    with pytest.raises(UpstreamTimeout):
        open_model(vendor, model).film(
            VideoRequest(prompt="a cat NEVER"), target=tmp_path / "a.mp4", source=None, job=SILENT
        )


def test_a_question_that_fails_is_asked_again() -> None:
    answers = iter([UpstreamFailed("a", "b", kind="server"), UpstreamTimeout("a", "b"), {"left": 1}, {"left": 0}])

    def ask(number: str) -> dict[str, int]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = polling.Task(
        start=lambda: "task-1",
        ask=ask,
        runs=lambda view: view["left"] > 0,
        result=lambda view: view,
        give_up=lambda number: None,
    )
    assert polling.follow(task, job=SILENT, most_seconds=5) == {"left": 0}


@pytest.mark.parametrize(("model", "source"), [(WAN, SOURCE), (WAN_MOVES, None)])
def test_a_model_for_something_else_is_refused_before_it_is_paid(
    open_model: Open, fake: Callable[[str], VendorFake], tmp_path: Path, model: str, source: SourcePicture | None
) -> None:
    with pytest.raises(Invalid) as raised:
        open_model("dashscope", model).film(
            VideoRequest(prompt="a cat"), target=tmp_path / "a.mp4", source=source, job=SILENT
        )
    assert raised.value.details["reason"] == "wrong_model"
    assert fake("dashscope").requests == []
