"""Pictures from the vendors: what is sent, what comes back, and what each kind of failure means."""

from collections.abc import Callable

import pytest

from services import pictures
from services.compute.progress import SILENT
from services.contracts.images import ImageModel, ImageRequest, PaintedPictures, SourcePicture
from services.errors import Invalid, ServiceError, UpstreamFailed
from services.outbound import Outbound
from services.providers import find_provider, polling
from services.settings import Settings
from tests.fakes import samples
from tests.fakes.vendor import VendorFake

WAN, QWEN, EDIT = "wan2.2-t2i-flash", "qwen-image-plus", "qwen-image-edit-plus"
SEEDREAM, GPT = "doubao-seedream-4-0-250828", "gpt-image-1"
PLACES = [("dashscope", WAN), ("dashscope", QWEN), ("ark", SEEDREAM), ("openai", GPT), ("openai", "dall-e-2")]
SOURCE = SourcePicture(samples.png(64, 64, "cat"), "image/png", 64, 64)
Open = Callable[[str, str], ImageModel]


@pytest.fixture(autouse=True)
def _ask_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.01)


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Callable[[str], VendorFake]:
    return lambda vendor: request.getfixturevalue(f"{vendor}_fake")


@pytest.fixture
def open_model(upstream_settings: Settings, fake: Callable[[str], VendorFake]) -> Open:
    """Makes a painter at its vendor's fake, whose result addresses the operator allows."""

    def make(vendor: str, model: str) -> ImageModel:
        place, kind = fake(vendor), find_provider(vendor)
        assert kind
        host = place.url("/").split("/")[2]
        outbound = Outbound(upstream_settings.model_copy(update={"allowed_upstreams": host}))
        return kind(outbound, key=place.key, base_url=place.base_url, trusted=True).images(model, None)

    return make


def _paint(
    model: ImageModel, prompt: str = "a cat", source: SourcePicture | None = None, **more: object
) -> PaintedPictures:
    return model.paint(ImageRequest(prompt=prompt, **more), source=source, job=SILENT)


def _size(data: bytes) -> tuple[int, int]:
    _, width, height = pictures.measure(data, max_pixels=50_000_000)
    return width, height


@pytest.mark.parametrize(("vendor", "model"), PLACES)
def test_words_become_a_picture(open_model: Open, vendor: str, model: str) -> None:
    painted = _paint(open_model(vendor, model))
    assert len(painted.pictures) == 1
    assert min(_size(painted.pictures[0].data)) >= 1024


@pytest.mark.parametrize(
    ("vendor", "model", "asked", "made"),
    [
        ("dashscope", QWEN, (512, 512), (1328, 1328)),
        ("dashscope", QWEN, (1920, 1080), (1664, 928)),
        ("dashscope", WAN, (256, 256), (512, 512)),
        ("dashscope", WAN, (2048, 1024), (1440, 720)),
        ("ark", SEEDREAM, (512, 512), (960, 960)),
        ("ark", "doubao-seedream-4-5-251128", (1024, 1024), (1920, 1920)),
        ("openai", GPT, (512, 512), (1024, 1024)),
        ("openai", GPT, (1920, 1080), (1536, 1024)),
        ("openai", "dall-e-2", (320, 320), (256, 256)),
    ],
)
def test_a_size_becomes_the_models_nearest(
    open_model: Open, vendor: str, model: str, asked: tuple[int, int], made: tuple[int, int]
) -> None:
    painted = _paint(open_model(vendor, model), width=asked[0], height=asked[1])
    assert _size(painted.pictures[0].data) == made


@pytest.mark.parametrize(("vendor", "model"), PLACES)
def test_several_are_painted(open_model: Open, vendor: str, model: str) -> None:
    painted = _paint(open_model(vendor, model), n=3, seed=7)
    assert len(painted.pictures) == 3
    assert [one.seed for one in painted.pictures] == ([7, 8, 9] if vendor == "dashscope" else [None] * 3)


def test_a_seed_is_chosen_and_told(open_model: Open, fake: Callable[[str], VendorFake]) -> None:
    painted = _paint(open_model("dashscope", QWEN))
    sent = fake("dashscope").requests[0].json["parameters"]
    assert sent == {"n": 1, "seed": painted.pictures[0].seed, "watermark": False}


@pytest.mark.parametrize(("vendor", "model"), PLACES)
@pytest.mark.parametrize("word", ["SENSITIVE", "FAIL"])
def test_moderation_says_so(open_model: Open, vendor: str, model: str, word: str) -> None:
    with pytest.raises(Invalid) as raised:
        _paint(open_model(vendor, model), f"a cat {word}")
    assert raised.value.details == {"field": "prompt", "reason": "content_filter"}


@pytest.mark.parametrize(("vendor", "model"), [*PLACES[:3], ("ark", "doubao-seedream-3-0-t2i-250415")])
@pytest.mark.parametrize("word", ["HTML", "TEXT", "LOOPBACK", "REDIRECT", "GONE"])
def test_a_result_that_is_no_picture_is_the_providers_failure(
    open_model: Open, vendor: str, model: str, word: str
) -> None:
    with pytest.raises(UpstreamFailed) as raised:
        _paint(open_model(vendor, model), f"a cat {word}")
    assert raised.value.kind in {"download", "broken_result"}


@pytest.mark.parametrize(("vendor", "model"), PLACES)
def test_an_error_inside_a_200_is_an_error(open_model: Open, vendor: str, model: str) -> None:
    with pytest.raises(ServiceError):
        _paint(open_model(vendor, model), "a cat ERROR200")


@pytest.mark.parametrize(("vendor", "model"), PLACES)
def test_a_wrong_key_is_told(open_model: Open, fake: Callable[[str], VendorFake], vendor: str, model: str) -> None:
    painter = open_model(vendor, model)
    painter._provider.key = "wrong"  # type: ignore[attr-defined]
    with pytest.raises(UpstreamFailed) as raised:
        _paint(painter)
    assert raised.value.kind == "auth"


def test_what_was_made_of_several_is_kept(open_model: Open) -> None:
    painted = _paint(open_model("dashscope", WAN), "cats PARTFAIL", n=3, seed=1)
    assert [one.seed for one in painted.pictures] == [1, 2]


def test_ark_prints_no_mark(open_model: Open, fake: Callable[[str], VendorFake]) -> None:
    _paint(open_model("ark", SEEDREAM))
    assert fake("ark").requests[0].json["watermark"] is False


@pytest.mark.parametrize(
    ("vendor", "model"), [("dashscope", EDIT), ("dashscope", "wan2.5-i2i-preview"), ("ark", SEEDREAM), ("openai", GPT)]
)
def test_a_picture_is_changed(open_model: Open, vendor: str, model: str) -> None:
    assert len(_paint(open_model(vendor, model), source=SOURCE).pictures) == 1


def test_an_edit_is_a_form_with_the_picture(open_model: Open, fake: Callable[[str], VendorFake]) -> None:
    _paint(open_model("openai", GPT), source=SOURCE)
    (sent,) = [part for part in fake("openai").requests[0].form if part.filename]
    assert (sent.name, sent.filename) == ("image", "image.png")


@pytest.mark.parametrize(("model", "source"), [(WAN, SOURCE), (QWEN, SOURCE), (EDIT, None)])
def test_a_model_for_something_else_is_refused_before_it_is_paid(
    open_model: Open, fake: Callable[[str], VendorFake], model: str, source: SourcePicture | None
) -> None:
    with pytest.raises(Invalid) as raised:
        _paint(open_model("dashscope", model), source=source)
    assert raised.value.details["reason"] == "wrong_model"
    assert fake("dashscope").requests == []
