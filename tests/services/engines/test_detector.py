"""Tiny detectors of the real classes: boxes as transformers gives them, in the right place, scale and order."""

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services import pictures
from services.contracts.recognition import Detection
from services.engines.detector import Detector
from services.settings import Settings
from tests.photographs import photograph
from tests.vision_models import HAND_SET, LABELS, SPOT, detector_rows

Open = Callable[[str], Detector]
REAL = ["tiny-rt-detr", "tiny-d-fine", "tiny-detr", "tiny-yolos"]
UPRIGHT_BY_TURNING_LEFT = 8


@pytest.fixture(scope="module")
def engine(vision_models: Path) -> Iterator[Open]:
    """Opens a tiny detector, once for the module."""
    opened: dict[str, Detector] = {}
    settings = Settings(_env_file=None, models_dir=vision_models, cpu_threads=1)
    rows = {row.id: row for row in detector_rows()}

    def load(name: str) -> Detector:
        if name not in opened:
            opened[name] = Detector(rows[name], vision_models / name, settings)
            opened[name].load()
        return opened[name]

    yield load
    for one in opened.values():
        one.unload()


def photo(name: str = "astronaut", size: tuple[int, int] = (161, 97)) -> Image.Image:
    return pictures.read(photograph(name), max_pixels=10**8).resize(size)


def direct(folder: Path, image: Image.Image, threshold: float) -> list[tuple[str, float, list[float]]]:
    """What transformers itself finds, as its documents say to call it, within the picture."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    model, processor = AutoModelForObjectDetection.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        outputs = model(**processor(image, return_tensors="pt"))
    size = torch.tensor([(image.height, image.width)])
    (found,) = processor.post_process_object_detection(outputs, threshold=threshold, target_sizes=size)
    limits = torch.tensor([image.width, image.height] * 2)
    boxes = found["boxes"].clamp(min=torch.zeros(4), max=limits)
    rows = zip(found["labels"].tolist(), found["scores"].tolist(), boxes.tolist(), strict=True)
    return [(model.config.id2label[label], score, box) for label, score, box in rows]


def detect(engine: Detector, image: Image.Image, owner: str = "ann", **asked: Any) -> list[Detection]:
    return engine.detect(engine.prepare(image), owner=owner, **asked)


def plain(found: list[Detection]) -> list[tuple[Any, ...]]:
    return sorted((each.label, *(round(value) for value in each.bbox)) for each in found)


@pytest.mark.parametrize("name", REAL)
def test_boxes_are_those_of_transformers(engine: Open, vision_models: Path, name: str) -> None:
    image = photo()
    found = detect(engine(name), image, threshold=0.0)
    expected = direct(vision_models / name, image, 0.0)
    assert len(found) == len(expected) > 0
    for one, (label, score, box) in zip(found, sorted(expected, key=lambda row: -round(row[1], 6)), strict=True):
        assert one.label == label
        assert one.confidence == pytest.approx(score, abs=2e-6)
        assert one.bbox == pytest.approx(tuple(box), abs=0.011)


@pytest.mark.parametrize("name", REAL)
def test_many_at_once_find_what_each_finds_alone(engine: Open, name: str) -> None:
    # Three sizes of input at least, which must not be mixed, and each with its own threshold.
    asked = [(photo("chelsea", size), threshold) for size in ((160, 96), (96, 160), (64, 64)) for threshold in (0, 0.3)]
    alone = [detect(engine(name), image, threshold=threshold) for image, threshold in asked]
    together: dict[int, list[Detection]] = {}

    def ask(number: int) -> None:
        image, threshold = asked[number]
        together[number] = detect(engine(name), image, threshold=threshold, owner=str(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [plain(together[number]) for number in range(len(asked))] == [plain(found) for found in alone]


def test_weights_in_halves_are_as_good(settings: Settings, tmp_path: Path, engine: Open, vision_models: Path) -> None:
    from transformers import AutoModelForObjectDetection

    AutoModelForObjectDetection.from_pretrained(vision_models / "hand-set").half().save_pretrained(tmp_path)
    processor = "preprocessor_config.json"
    (tmp_path / processor).write_bytes((vision_models / "hand-set" / processor).read_bytes())
    row = next(row for row in detector_rows() if row.id == "hand-set")
    halves = Detector(row, tmp_path, settings.model_copy(update={"cpu_threads": 1}))
    halves.load()
    found = halves.detect(halves.prepare(photo()), threshold=0.5, owner="ann")
    halves.unload()
    whole = detect(engine("hand-set"), photo(), threshold=0.5)
    assert [each.label for each in found] == [each.label for each in whole]
    for one, other in zip(found, whole, strict=True):
        assert one.bbox == pytest.approx(other.bbox, abs=0.5)


# With heads set by hand


def hand_set_boxes(width: int, height: int) -> list[tuple[str, tuple[float, ...]]]:
    """What `hand-set` says of a picture of that size, the surest first."""
    rows = sorted(HAND_SET, key=lambda row: -row[1])
    return [
        (LABELS[label], ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, min(1, y + h / 2) * height))
        for label, _, (x, y, w, h) in rows
    ]


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (64, 64), (333, 77)])
def test_boxes_are_in_pixels_and_the_surest_comes_first(engine: Open, size: tuple[int, int]) -> None:
    found = detect(engine("hand-set"), Image.new("RGB", size), threshold=0.5)
    expected = hand_set_boxes(*size)
    assert [each.label for each in found] == [label for label, _ in expected] == ["person", "traffic light", "cat"]
    for each, (_, box) in zip(found, expected, strict=True):
        assert each.bbox == pytest.approx(box, abs=0.05)
    assert [each.confidence for each in found] == sorted((each.confidence for each in found), reverse=True)


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 3), (0.8, 2), (0.94, 1), (1.0, 0)])
def test_only_what_is_surer_than_the_threshold(engine: Open, threshold: float, count: int) -> None:
    assert len(detect(engine("hand-set"), Image.new("RGB", (9, 9)), threshold=threshold)) == count


def test_only_the_labels_that_are_wanted(engine: Open) -> None:
    found = detect(engine("hand-set"), Image.new("RGB", (9, 9)), threshold=0.0, labels=["cat", "person"])
    assert [each.label for each in found] == ["person", "cat"]


def spot(at: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """A black picture with a white spot whose middle is *at*."""
    side = SPOT * max(size) // 256
    image = Image.new("RGB", size)
    image.paste("white", tuple(round(middle - side / 2) for middle in at) + tuple(round(m + side / 2) for m in at))
    return image


def middle(found: list[Detection]) -> tuple[float, float]:
    x1, y1, x2, y2 = found[0].bbox
    return (x1 + x2) / 2, (y1 + y2) / 2


@pytest.mark.parametrize("at", [(60, 60), (200, 60), (60, 200), (128, 128)])
def test_a_box_is_where_the_thing_is(engine: Open, at: tuple[int, int]) -> None:
    found = detect(engine("spot-finder"), spot(at, (256, 256)), threshold=0.5)
    assert len(found) == 1
    assert middle(found) == pytest.approx(at, abs=SPOT / 2)


def test_it_is_there_on_a_picture_that_is_not_square(engine: Open) -> None:
    found = detect(engine("spot-finder"), spot((400, 60), (512, 256)), threshold=0.5)
    assert middle(found) == pytest.approx((400, 60), abs=SPOT)


def test_it_is_there_on_a_photo_that_lies_on_its_side(engine: Open) -> None:
    upright = spot((400, 60), (512, 256))
    file, exif = io.BytesIO(), Image.Exif()
    exif[pictures.ORIENTATION] = UPRIGHT_BY_TURNING_LEFT
    upright.transpose(Image.Transpose.ROTATE_270).save(file, "PNG", exif=exif)
    image = pictures.read(file.getvalue(), max_pixels=10**6)
    assert image.size == (512, 256)
    found = detect(engine("spot-finder"), image, threshold=0.5)
    assert middle(found) == pytest.approx((400, 60), abs=SPOT)
