"""The starter classifier's real weights on real photographs, alone and many at once."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services import pictures
from services.catalog import Catalog
from services.contracts.recognition import Classification
from services.engines.classifier import Classifier
from services.engines.vision import Prepared
from services.errors import Invalid, Unavailable
from services.settings import Settings
from tests.photographs import photograph
from tests.vision_models import CLASSIFIER


@pytest.fixture(scope="module")
def engine(vision_models: Path) -> Iterator[Classifier]:
    settings = Settings(_env_file=None, models_dir=vision_models, cpu_threads=1)
    loaded = Classifier(Catalog(settings).find(CLASSIFIER), vision_models / CLASSIFIER, settings)
    loaded.load()
    yield loaded
    loaded.unload()


def photo(name: str) -> Image.Image:
    return pictures.read(photograph(name), max_pixels=10**8)


def classify(engine: Classifier, name: str, top_k: int = 5) -> list[Classification]:
    return engine.classify(engine.prepare(photo(name)), top_k=top_k, owner="ann")


@pytest.mark.parametrize(
    ("name", "label", "confidence"), [("chelsea", "Egyptian cat", 0.39), ("coffee", "espresso", 0.94)]
)
def test_it_knows_a_cat_and_an_espresso(engine: Classifier, name: str, label: str, confidence: float) -> None:
    best = classify(engine, name)[0]
    assert (best.label, best.confidence) == (label, pytest.approx(confidence, abs=0.01))


def test_it_tells_as_many_as_are_asked_for_the_likeliest_first(engine: Classifier) -> None:
    found = classify(engine, "chelsea", top_k=1000)
    assert len({each.label for each in found}) > 990
    assert found == sorted(found, key=lambda each: -each.confidence)
    assert sum(each.confidence for each in found) == pytest.approx(1, abs=1e-3)
    assert classify(engine, "chelsea", top_k=2) == found[:2]


def test_it_is_what_transformers_gives(engine: Classifier, vision_models: Path) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    folder = vision_models / CLASSIFIER
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        inputs = AutoImageProcessor.from_pretrained(folder)(photo("astronaut"), return_tensors="pt")
        direct = model(**inputs).logits.softmax(-1)[0]
    best = classify(engine, "astronaut")[0]
    assert best.label == model.config.id2label[int(direct.argmax())]
    assert best.confidence == pytest.approx(float(direct.max()), abs=1e-6)


def test_many_at_once_get_what_each_gets_alone(engine: Classifier) -> None:
    names = ["chelsea", "coffee", "astronaut", "rocket"] * 3
    alone = {name: classify(engine, name)[0] for name in set(names)}
    together: dict[int, Classification] = {}

    def ask(number: int, name: str) -> None:
        together[number] = engine.classify(engine.prepare(photo(name)), top_k=1, owner=name)[0]

    threads = [threading.Thread(target=ask, args=each) for each in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, name in enumerate(names):
        assert together[number].label == alone[name].label
        assert together[number].confidence == pytest.approx(alone[name].confidence, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 4)])
def test_a_picture_of_any_size_is_looked_at(engine: Classifier, size: tuple[int, int]) -> None:
    assert len(engine.classify(engine.prepare(Image.new("RGB", size, "red")), top_k=5, owner="ann")) == 5


def test_a_strip_is_refused_before_it_fills_the_memory(engine: Classifier) -> None:
    with pytest.raises(Invalid) as caught:
        engine.prepare(Image.new("RGB", (40_000, 1)))
    assert caught.value.details == {"field": "image", "reason": "too_long"}


def test_a_folder_without_weights_says_so(settings: Settings, tmp_path: Path, vision_models: Path) -> None:
    (tmp_path / "config.json").write_bytes((vision_models / CLASSIFIER / "config.json").read_bytes())
    processor = "preprocessor_config.json"
    (tmp_path / processor).write_bytes((vision_models / CLASSIFIER / processor).read_bytes())
    with pytest.raises(Unavailable) as caught:
        Classifier(Catalog(settings).find(CLASSIFIER), tmp_path, settings).load()
    assert caught.value.details["reason"] == "model_unusable"


class Hungry:
    """A model on a GPU that has memory for *most* pictures a pass; notes how many each pass had."""

    def __init__(self, model: Any, most: int) -> None:
        self.model, self.most = model, most
        self.config = model.config
        self.passes: list[int] = []

    def __call__(self, **inputs: Any) -> Any:
        import torch

        self.passes.append(len(inputs["pixel_values"]))
        if self.passes[-1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(**inputs)


@pytest.mark.parametrize(("most", "passes"), [(4, [4]), (2, [4, 2, 2]), (1, [4, 2, 1, 1, 2, 1, 1])])
def test_with_too_little_memory_for_all_they_go_in_halves(
    engine: Classifier, monkeypatch: pytest.MonkeyPatch, most: int, passes: list[int]
) -> None:
    hungry = Hungry(engine._model, most)
    monkeypatch.setattr(engine, "_model", hungry)
    names = ["chelsea", "coffee", "astronaut", "rocket"]
    seen = engine.look([engine.prepare(photo(name)) for name in names])
    assert hungry.passes == passes
    best = [engine.labels[int(scores.argmax())] for scores in seen]
    assert best[:2] == ["Egyptian cat", "espresso"]


def test_with_no_memory_for_one_it_says_so_and_goes_on(engine: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_model", Hungry(engine._model, 0))
        with pytest.raises(Unavailable) as caught:
            classify(engine, "chelsea")
    assert caught.value.details["reason"] == "out_of_memory"
    assert classify(engine, "chelsea")[0].label == "Egyptian cat"


def test_large_pictures_go_through_few_at_a_time(engine: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Hungry(engine._model, 100)
    monkeypatch.setattr(engine, "_model", counting)
    look = engine.prepare(photo("coffee"))
    large = Prepared({"pixel_values": np.zeros((1, 3, 448, 448), np.float32)}, 448, 448)
    assert len(engine.look([large, look, large, look, look])) == 5
    assert counting.passes == [1, 1, 3]


def test_an_unloaded_model_leaves_no_thread(vision_models: Path) -> None:
    settings = Settings(_env_file=None, models_dir=vision_models, cpu_threads=1)
    engine = Classifier(Catalog(settings).find(CLASSIFIER), vision_models / CLASSIFIER, settings)
    before = {thread.name for thread in threading.enumerate()}
    engine.load()
    engine.unload()
    assert {thread.name for thread in threading.enumerate()} <= before | {"tqdm_monitor"}
