"""Films from the request to the kept file, with the demo; engines and providers have tests of their own."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services import films, generation
from services.assemble import Services
from services.compute.progress import Job
from services.contracts.video import VideoRequest, VideoResult
from services.domains import video
from services.errors import Cancelled, NotFound, Unavailable
from tests.painted_films import note_frames


class Owned(Job):
    """A job of *owner* that ends after some steps."""

    def __init__(self, owner: str = "ann", *, ends_after: int = 1000) -> None:
        self.owner, self.id = owner, "job-1"
        self._left = ends_after

    def progress(self, fraction: float, **metrics: Any) -> None:
        self._left -= 1
        if self._left < 0:
            raise Cancelled()


def generate(services: Services, job: Job | None = None, **asked: Any) -> VideoResult:
    small = {"prompt": "a cat walks", "model_id": "demo", "width": 64, "height": 64, "num_frames": 6}
    return video.generate(VideoRequest(**(small | asked)), services=services, job=job or Owned())


def kept(services: Services) -> list[Path]:
    return [path for path in services.settings.data_dir.rglob("*") if path.is_file()]


def test_a_film_is_kept_under_its_owner(services: Services) -> None:
    result = generate(services, fps=12, seed=3)
    (file,) = result.files
    found = services.files.find(file.name, owner="ann")
    facts = films.inspect(found.path)
    assert (facts.width, facts.height, facts.num_frames, facts.fps, facts.codec) == (64, 64, 6, 12.0, "h264")
    assert (file.width, file.height, file.num_frames, file.fps, file.seed) == (64, 64, 6, 12.0, 3)
    assert (result.urls, result.model, result.provider) == ([found.url], "demo", "demo")
    assert result.parameters["num_frames"] == 6 and result.parameters["prompt"] == "a cat walks"


def test_the_same_seed_films_the_same(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    written = note_frames(monkeypatch)
    for seed in (3, 3, 4):
        generate(services, seed=seed)
    assert len(written[0]) == 6
    assert written[0] == written[1] != written[2]


def test_a_film_begins_with_the_given_picture(services: Services) -> None:
    data = io.BytesIO()
    Image.new("RGB", (91, 67), "green").save(data, "PNG")
    source = services.files.keep(data.getvalue(), "uploads", ".png", owner="ann")
    file = generate(services, image=source.name, prompt="", width=None, height=None).files[0]
    assert (file.width, file.height) == (92, 68)


def test_nothing_stays_of_a_cancelled_film(services: Services) -> None:
    with pytest.raises(Cancelled):
        generate(services, Owned(ends_after=3))
    assert kept(services) == []


def test_models_that_cannot_film(services: Services) -> None:
    with pytest.raises(NotFound):
        generate(services, model_id="stable-diffusion-v1-5")
    with pytest.raises(Unavailable):
        generate(services, model_id=None)


def test_films_from_elsewhere_wait_in_another_lane(services: Services) -> None:
    assert generation.lane(VideoRequest(prompt="x", model_id="demo"), services=services, owner="ann") == "io"
