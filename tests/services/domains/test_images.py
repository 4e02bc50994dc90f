"""Pictures from the request to the kept file, with the demo; engines and providers have tests of their own."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services import generation, png_notes
from services.assemble import Services
from services.compute.progress import Job
from services.contracts.images import ImageRequest, ImageResult
from services.domains import images
from services.errors import Cancelled, Invalid, NotFound, Unavailable, UnsupportedMedia
from services.tables.history import HistoryTable


class Owned(Job):
    """A job of *owner* that hears of each step, and may end at one."""

    def __init__(self, owner: str = "ann", *, ends_after: int | None = None, job_id: str = "") -> None:
        self.owner, self.id = owner, job_id
        self.steps: list[float] = []
        self._left = ends_after

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.steps.append(fraction)
        self.check()

    def check(self) -> None:
        if self._left is not None and len(self.steps) > self._left:
            raise Cancelled()


def photo(kind: str = "PNG", size: tuple[int, int] = (96, 64)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "green").save(file, kind)
    return file.getvalue()


def generate(services: Services, job: Job | None = None, **asked: Any) -> ImageResult:
    request = ImageRequest(**({"prompt": "a cat", "model_id": "demo"} | asked))
    return images.generate(request, services=services, job=job or Owned())


def kept(services: Services) -> list[Path]:
    return [path for path in services.settings.data_dir.rglob("*") if path.is_file()]


def rows(services: Services) -> list[HistoryTable]:
    with services.database.read() as session:
        return list(session.query(HistoryTable))


# What is made


def test_a_picture_is_kept_under_its_owner(services: Services) -> None:
    result = generate(services, Owned("ann", job_id="job-1"), width=128, height=64, seed=7)
    (file,) = result.files
    found = services.files.find(file.name, owner="ann")
    assert (file.width, file.height, file.seed, file.media_type) == (128, 64, 7, "image/png")
    assert (result.width, result.height, result.seed, result.urls) == (128, 64, 7, [found.url])
    assert (result.model, result.provider, found.job_id) == ("demo", "demo", "job-1")
    with Image.open(found.path) as image:
        assert image.size == (128, 64)


def test_the_picture_says_how_it_was_made(services: Services) -> None:
    result = generate(services, prompt="海边的日落", seed=7, n=2)
    told = [png_notes.parameters(services.files.find(file.name).path) for file in result.files]
    assert [note["seed"] for note in told if note] == [7, 8]
    assert told[0] == {
        "prompt": "海边的日落",
        "width": 512,
        "height": 512,
        "seed": 7,
        "n": 1,
        "demo": True,
        "model": "demo",
        "revision": "demo",
        "provider": "demo",
        "polymath": "0.1.0",
    }


def test_the_same_parameters_make_the_same_picture(services: Services) -> None:
    first = services.files.find(generate(services, width=64, height=64).files[0].name)
    note = png_notes.parameters(first.path)
    assert note
    asked = {name: value for name, value in note.items() if name in ImageRequest.model_fields}
    again = generate(services, **asked)
    assert services.files.find(again.files[0].name).path.read_bytes() == first.path.read_bytes()


def test_one_of_several_is_made_again_by_its_seed(services: Services) -> None:
    several = generate(services, width=64, height=64, n=3).files
    alone = generate(services, width=64, height=64, seed=several[2].seed).files[0]
    assert services.files.find(alone.name).path.read_bytes() == services.files.find(several[2].name).path.read_bytes()


def test_the_history_tells_of_it(services: Services) -> None:
    result = generate(services, seed=7, n=2)
    (row,) = rows(services)
    assert (row.id, row.owner, row.prompt, row.image_urls) == (result.history_id, "ann", "a cat", result.urls)
    assert (row.model, row.provider) == ("demo", "demo")
    assert row.parameters == {"n": 2, "seed": 7, "width": 512, "height": 512, "demo": True}


def test_a_job_that_runs_again_leaves_one_row(services: Services) -> None:
    first, second = (generate(services, Owned(job_id="job-1")) for _ in range(2))
    assert first.history_id == second.history_id
    assert [row.image_urls for row in rows(services)] == [second.urls]


def test_a_given_picture_is_changed(services: Services) -> None:
    source = services.files.keep(photo(), "uploads", ".png", owner="ann")
    untouched = generate(services, image=source.name, strength=0).files[0]
    changed = generate(services, image=source.name, strength=1).files[0]
    assert (untouched.width, untouched.height) == (96, 64)
    corner = [Image.open(services.files.find(file.name).path).getpixel((95, 63)) for file in (untouched, changed)]
    assert corner[0] == (0, 128, 0) != corner[1]


def test_progress_grows(services: Services) -> None:
    job = Owned()
    generate(services, job, n=4)
    assert job.steps == sorted(job.steps)
    assert (job.steps[0], job.steps[-1]) == (0, 1)


# What fails


def test_nothing_stays_of_a_cancelled_job(services: Services) -> None:
    with pytest.raises(Cancelled):
        generate(services, Owned(ends_after=2), n=5)
    assert kept(services) == [] and rows(services) == []


def test_another_owners_picture_is_not_there(services: Services) -> None:
    source = services.files.keep(photo(), "uploads", ".png", owner="bob")
    with pytest.raises(NotFound):
        generate(services, image=source.name)


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"just some words", UnsupportedMedia, "wrong_type"),
        (photo("GIF"), UnsupportedMedia, "wrong_type"),
        (photo("JPEG")[:300], Invalid, "broken"),
    ],
)
def test_what_is_no_photo_is_refused(services: Services, data: bytes, error: type[Exception], reason: str) -> None:
    source = services.files.keep(data, "uploads", ".png", owner="ann")
    with pytest.raises(error) as caught:
        generate(services, image=source.name)
    assert caught.value.details["reason"] == reason  # type: ignore[attr-defined]
    assert [path.name for path in kept(services)] == [source.name]


def test_more_pixels_than_allowed(services: Services) -> None:
    with pytest.raises(Invalid) as caught:
        generate(services, width=8192, height=8192)
    assert caught.value.details == {"field": "width", "reason": "too_many_pixels"}


def test_models_that_cannot_paint(services: Services) -> None:
    with pytest.raises(NotFound):
        generate(services, model_id="nobody-has-this")
    with pytest.raises(NotFound):
        generate(services, model_id="qwen-plus")
    with pytest.raises(Unavailable) as caught:
        generate(services, model_id="stable-diffusion-v1-5")
    assert caught.value.details["reason"] == "model_not_installed"


def test_no_model_is_never_demo(services: Services) -> None:
    with pytest.raises(Unavailable):
        generate(services, model_id=None)


# As a job


def test_a_job_has_its_picture(services: Services) -> None:
    asked = ImageRequest(prompt="a cat", model_id="demo", width=64, height=64)
    job = services.jobs.submit("images.generate", asked, owner="ann")
    assert (job.status, job.lane, job.progress) == ("completed", "io", 100)
    result = services.jobs.result(job)
    assert isinstance(result, ImageResult)
    assert services.files.find(result.files[0].name, owner="ann").job_id == job.id


def test_a_model_that_nobody_has_makes_no_job(services: Services) -> None:
    with pytest.raises(NotFound):
        services.jobs.submit("images.generate", ImageRequest(prompt="x", model_id="nobody"), owner="ann")
    assert services.jobs.count_by_status() == {}


def test_pictures_from_elsewhere_wait_in_another_lane(services: Services) -> None:
    assert generation.lane(ImageRequest(prompt="x", model_id="demo"), services=services, owner="ann") == "io"
    with pytest.raises(Unavailable):
        generation.lane(ImageRequest(prompt="x", model_id="stable-diffusion-xl"), services=services, owner="ann")
