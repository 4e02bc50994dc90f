"""Pictures and films of tiny pipelines of the real classes, bit by bit those of diffusers called directly."""

import io
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services import films, generation, pictures, png_notes
from services.assemble import Services
from services.compute.progress import SILENT, Job
from services.contracts.images import ImageRequest, ImageResult, PaintedPictures, SourcePicture
from services.contracts.models import CatalogRow
from services.contracts.video import VideoRequest
from services.domains import images, video
from services.engines.diffusion import Diffusion
from services.errors import Cancelled, Invalid
from services.settings import Settings
from tests.painted_films import note_frames

PICTURE_MODELS = ["tiny-sd", "tiny-sdxl"]
Open = Callable[[str], Diffusion]


class Steps(Job):
    """Hears each step; *at* is called at each, with its number."""

    def __init__(self, at: Callable[[int], None] = lambda number: None) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        self._at = at

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.told.append((fraction, metrics))
        self._at(len(self.told))


def cancel_at(step: int) -> Steps:
    def end(number: int) -> None:
        if number == step:
            raise Cancelled()

    return Steps(end)


@pytest.fixture
def engine(settings: Settings, tiny_models: Path) -> Iterator[Open]:
    """Opens the engine of a tiny model, which is unloaded after the test."""
    opened: list[Diffusion] = []

    def load(name: str) -> Diffusion:
        row = CatalogRow(id=name, name=name, abilities=["text-to-image"], licence="own", engine="diffusion")
        opened.append(Diffusion(row, tiny_models / name, settings))
        opened[-1].load()
        return opened[-1]

    yield load
    for one in opened:
        one.unload()


@pytest.fixture(scope="module")
def direct(tiny_models: Path) -> Callable[..., Any]:
    """What diffusers itself makes of a model, as its documents say to call it."""
    import diffusers
    import torch

    def call(name: str, kind: str, seed: int, **given: Any) -> Any:
        pipeline = getattr(diffusers, kind).from_pretrained(tiny_models / name, use_safetensors=True)
        return pipeline(**given, generator=torch.Generator("cpu").manual_seed(seed))

    return call


def request(**asked: Any) -> ImageRequest:
    return ImageRequest(**({"prompt": "a cat", "width": 64, "height": 64, "num_inference_steps": 3, "seed": 7} | asked))


def paint(engine: Diffusion, source: SourcePicture | None = None, job: Job = SILENT, **asked: Any) -> PaintedPictures:
    return engine.paint(request(**asked), source=source, job=job)


def pixels(data: bytes) -> "np.ndarray[Any, Any]":
    return np.asarray(Image.open(io.BytesIO(data)))


def photo(size: tuple[int, int] = (64, 64)) -> tuple[Image.Image, SourcePicture]:
    image = Image.effect_noise(size, 90).convert("RGB")
    return image, pictures.check(pictures.png(image), max_pixels=10**7)


# The same as diffusers


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny-sd", "StableDiffusionPipeline"), ("tiny-sdxl", "StableDiffusionXLPipeline")]
)
def test_a_picture_is_diffusers_own(engine: Open, direct: Callable[..., Any], name: str, kind: str) -> None:
    given = {"prompt": "a cat", "width": 64, "height": 64, "num_inference_steps": 3}
    expected = direct(name, kind, 7, **given, guidance_scale=4.5, negative_prompt="blurry").images[0]
    (made,) = paint(engine(name), guidance_scale=4.5, negative_prompt="blurry").pictures
    assert np.array_equal(pixels(made.data), np.asarray(expected))


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny-sd", "StableDiffusionImg2ImgPipeline"), ("tiny-sdxl", "StableDiffusionXLImg2ImgPipeline")]
)
def test_a_changed_picture_is_diffusers_own(engine: Open, direct: Callable[..., Any], name: str, kind: str) -> None:
    image, source = photo()
    given = {"prompt": "a cat", "num_inference_steps": 4, "strength": 0.6}
    expected = direct(name, kind, 7, image=image, **given).images[0]
    asked = {"num_inference_steps": 4, "strength": 0.6, "width": None, "height": None, "image": "0" * 32 + ".png"}
    (made,) = paint(engine(name), source, **asked).pictures
    assert np.array_equal(pixels(made.data), np.asarray(expected))


@pytest.mark.parametrize(
    ("kind", "begins"), [("LTXPipeline", False), ("LTXImageToVideoPipeline", True)], ids=["words", "picture"]
)
def test_a_film_is_diffusers_own(
    engine: Open, direct: Callable[..., Any], tmp_path: Path, kind: str, begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, source = photo()
    given = {"prompt": "a cat", "width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 2}
    picture = {"image": image} if begins else {}
    expected = direct("tiny-ltx", kind, 7, **given, **picture, frame_rate=8).frames[0]
    written = note_frames(monkeypatch)
    asked = VideoRequest(**given, fps=8, seed=7, image="0" * 32 + ".png" if begins else None)
    shot = engine("tiny-ltx").film(asked, target=tmp_path / "made", source=source if begins else None, job=SILENT)
    assert shot.seed == 7
    assert len(expected) == 9
    assert written == [[frame.tobytes() for frame in expected]]


def test_words_and_pictures_share_the_weights(engine: Open) -> None:
    """One set in memory, and neither task changes what the other makes."""
    loaded = engine("tiny-sd")
    _image, source = photo()
    before = paint(loaded).pictures[0].data
    paint(loaded, source, image="0" * 32 + ".png")
    assert paint(loaded).pictures[0].data == before
    words, changed = loaded._tasks["text-to-image"], loaded._tasks["image-to-image"]
    assert words.unet is changed.unet and words.vae is changed.vae


# Seeds and several pictures


def test_each_of_several_is_made_again_alone(engine: Open) -> None:
    loaded = engine("tiny-sd")
    several = paint(loaded, n=3).pictures
    assert [picture.seed for picture in several] == [7, 8, 9]
    assert len({picture.data for picture in several}) == 3
    assert paint(loaded, seed=9).pictures[0].data == several[2].data


def test_a_seed_is_chosen_and_told(engine: Open) -> None:
    loaded = engine("tiny-sd")
    first, second = (paint(loaded, seed=None).pictures[0] for _ in range(2))
    assert first.seed is not None and first.seed != second.seed
    assert paint(loaded, seed=first.seed).pictures[0].data == first.data


def test_what_was_used_is_told(engine: Open) -> None:
    loaded = engine("tiny-sd")
    used = paint(loaded, num_inference_steps=2, negative_prompt="blurry").parameters
    assert used == {"num_inference_steps": 2, "guidance_scale": 7.5, "negative_prompt": "blurry", "strength": None}


def test_threads_take_turns(engine: Open) -> None:
    loaded = engine("tiny-sd")
    alone = [paint(loaded, seed=seed).pictures[0].data for seed in range(3)]
    made: dict[int, bytes] = {}

    def work(seed: int) -> None:
        made[seed] = paint(loaded, seed=seed).pictures[0].data

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [made[seed] for seed in range(3)] == alone


# Progress and cancelling


def test_each_step_is_told(engine: Open) -> None:
    job = Steps()
    paint(engine("tiny-sdxl"), job=job, n=2)
    assert [round(fraction, 3) for fraction, _metrics in job.told] == [0.167, 0.333, 0.5, 0.667, 0.833, 1.0]
    assert job.told[0][1] == {"step": 1, "steps": 3}


def test_strength_cuts_the_steps_that_are_told(engine: Open) -> None:
    job = Steps()
    paint(engine("tiny-sdxl"), photo()[1], job, image="0" * 32 + ".png", num_inference_steps=4, strength=0.5)
    assert [metrics for _fraction, metrics in job.told] == [{"step": 1, "steps": 2}, {"step": 2, "steps": 2}]


def test_a_cancel_ends_the_work_at_the_next_step(engine: Open) -> None:
    loaded, job = engine("tiny-sd"), cancel_at(2)
    before = paint(loaded).pictures[0].data
    with pytest.raises(Cancelled):
        paint(loaded, job=job, num_inference_steps=50)
    assert len(job.told) == 2
    assert paint(loaded).pictures[0].data == before


def test_who_waits_for_his_turn_can_be_cancelled(engine: Open) -> None:
    loaded = engine("tiny-sd")

    class Gone(Job):
        def check(self) -> None:
            raise Cancelled()

    with loaded._turn, pytest.raises(Cancelled):
        paint(loaded, job=Gone())


def test_a_cancelled_film_leaves_nothing(tiny_services: Services) -> None:
    asked = VideoRequest(prompt="a cat", model_id="tiny-ltx", width=64, height=64, num_frames=9, num_inference_steps=5)
    with pytest.raises(Cancelled):
        video.generate(asked, services=tiny_services, job=cancel_at(2))
    assert [path for path in tiny_services.settings.data_dir.rglob("*") if path.is_file()] == []


# What is refused


def test_a_size_that_the_pipeline_refuses(engine: Open, tmp_path: Path) -> None:
    asked = VideoRequest(prompt="a cat", width=72, height=64)
    with pytest.raises(Invalid) as caught:
        engine("tiny-ltx").film(asked, target=tmp_path / "film", source=None, job=SILENT)
    assert caught.value.details["reason"] == "refused"
    assert "divisible by 32" in str(caught.value)
    assert not (tmp_path / "film").exists()


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-sdxl"])
@pytest.mark.parametrize(("steps", "strength"), [(3, 0.0), (3, 0.3), (1, 0.99), (49, 0.0)])
def test_a_strength_that_leaves_no_step_does_one(engine: Open, model: str, steps: int, strength: float) -> None:
    job = Steps()
    painted = paint(
        engine(model), photo()[1], job, image="0" * 32 + ".png", num_inference_steps=steps, strength=strength
    )
    used = painted.parameters["strength"]
    assert used == pytest.approx(1 / steps) and len(job.told) == 1


def test_a_model_that_paints_does_not_film(engine: Open, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        engine("tiny-sd").film(VideoRequest(prompt="x"), target=tmp_path / "film", source=None, job=SILENT)
    assert caught.value.details["reason"] == "wrong_ability"
    with pytest.raises(Invalid):
        paint(engine("tiny-ltx"))


def test_a_picture_of_another_shape_keeps_it(engine: Open) -> None:
    _image, source = photo((91, 67))
    loaded = engine("tiny-sd")
    own = paint(loaded, source, image="0" * 32 + ".png", width=None, height=None).pictures[0]
    assert pixels(own.data).shape == (66, 90, 3)
    scaled = paint(loaded, source, image="0" * 32 + ".png", width=64, height=None).pictures[0]
    assert pixels(scaled.data).shape == (46, 64, 3)


def test_a_cameras_photo_is_shrunk(engine: Open) -> None:
    """The tiny model was made for 64 × 64 pixels; four times as many is the most that nobody asked for."""
    _image, source = photo((1600, 1200))
    made = paint(engine("tiny-sd"), source, image="0" * 32 + ".png", width=None, height=None).pictures[0]
    assert pixels(made.data).shape == (110, 148, 3)


def test_halves_are_loaded_whole(tiny_models: Path, tmp_path: Path, settings: Settings) -> None:
    """A model of which a hub has the fp16 files alone still runs in fp32 on a CPU."""
    import torch

    folder = Path(shutil.copytree(tiny_models / "tiny-sd", tmp_path / "halves"))
    for weights in folder.rglob("*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    row = CatalogRow(id="halves", name="halves", abilities=["text-to-image"], licence="own", engine="diffusion")
    engine = Diffusion(row, folder, settings)
    engine.load()
    assert {part.dtype for part in (engine._pipeline.unet, engine._pipeline.text_encoder)} == {torch.float32}
    assert len(paint(engine).pictures) == 1
    engine.unload()


# Through the whole service


def generate(services: Services, **asked: Any) -> ImageResult:
    return images.generate(request(**({"model_id": "tiny-sd"} | asked)), services=services)


def test_the_kept_picture_is_the_one_that_was_painted(tiny_services: Services, engine: Open) -> None:
    result = generate(tiny_services, seed=11)
    kept = tiny_services.files.find(result.files[0].name).path
    assert np.array_equal(pixels(kept.read_bytes()), pixels(paint(engine("tiny-sd"), seed=11).pictures[0].data))
    note = png_notes.parameters(kept)
    assert note and (note["seed"], note["num_inference_steps"], note["guidance_scale"]) == (11, 3, 7.5)
    assert (result.model, result.provider) == ("tiny-sd", "local")


def test_its_parameters_make_the_picture_again(tiny_services: Services) -> None:
    first = tiny_services.files.find(generate(tiny_services, seed=None, num_inference_steps=4).files[0].name).path
    note = png_notes.parameters(first)
    assert note and note["num_inference_steps"] == 4
    asked = {name: value for name, value in note.items() if name in ImageRequest.model_fields}
    again = generate(tiny_services, **asked)
    assert tiny_services.files.find(again.files[0].name).path.read_bytes() == first.read_bytes()


def test_a_kept_picture_is_changed(tiny_services: Services) -> None:
    source = generate(tiny_services).files[0].name
    result = generate(tiny_services, image=source, strength=0.7)
    assert result.parameters["image"] == source and result.parameters["strength"] == 0.7
    assert result.urls != [f"/outputs/images/{source}"]


def test_a_film_is_kept(tiny_services: Services) -> None:
    asked = VideoRequest(
        prompt="a cat", model_id="tiny-ltx", width=96, height=64, num_frames=9, fps=8, num_inference_steps=2, seed=3
    )
    result = video.generate(asked, services=tiny_services)
    facts = films.inspect(tiny_services.files.find(result.files[0].name).path)
    assert (facts.width, facts.height, facts.num_frames, facts.fps) == (96, 64, 9, 8.0)
    assert facts.parameters and facts.parameters["seed"] == 3 and facts.parameters["model"] == "tiny-ltx"
    assert result.parameters["num_inference_steps"] == 2


def test_local_models_wait_for_the_gpu(tiny_services: Services) -> None:
    assert generation.lane(request(model_id="tiny-sd"), services=tiny_services, owner="ann") == "gpu"
