"""System 3's recognition over HTTP: real photographs, tiny detectors, and whatever else people send."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from backend.app import create_app
from services import pictures
from services.assemble import Services
from tests.fakes import samples
from tests.photographs import photograph
from tests.vision_models import CLASSIFIER

Login = Callable[..., dict[str, str]]
Post = Callable[..., Any]
ON_ITS_SIDE = 6


@pytest.fixture
def app(vision_services: Services) -> Flask:
    return create_app(services=vision_services)


@pytest.fixture
def post(client: FlaskClient, login: Login) -> Post:
    """Send a picture to a route: `post("classify", data, top_k=3)`; other words are form fields."""
    headers = login()

    def send(route: str, *pictures: bytes | Path, language: str = "en", **fields: Any) -> Any:
        files = [picture.read_bytes() if isinstance(picture, Path) else picture for picture in pictures]
        form = {"image": [(io.BytesIO(data), "picture.jpg") for data in files], **fields}
        return client.post(
            f"/api/image-recognition/{route}",
            data=form,
            headers=headers | {"Accept-Language": language},
            content_type="multipart/form-data",
        )

    return send


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def cat() -> Image.Image:
    return Image.open(photograph("chelsea"))


# Classification


@pytest.mark.parametrize(("name", "label"), [("chelsea", "Egyptian cat"), ("coffee", "espresso")])
def test_a_photo_is_classified(post: Post, name: str, label: str) -> None:
    answer = post("classify", photograph(name))
    assert answer.status_code == 200
    assert (answer.json["model"], len(answer.json["classifications"])) == (CLASSIFIER, 5)
    assert answer.json["classifications"][0]["label"] == label


def test_a_model_s_own_labels_are_told_in_every_language(post: Post) -> None:
    told = [
        {each["label"] for each in answer.json["classifications"]}
        for answer in (post("classify", photograph("chelsea"), top_k="1000", language=tag) for tag in ("en", "zh-CN"))
    ]
    assert told[0] == told[1] and "kite" in told[1], "ImageNet's kite is a bird, and COCO's is a toy"


@pytest.mark.parametrize("field", ["model", "model_id"])
def test_the_model_may_be_named(post: Post, field: str) -> None:
    answer = post("classify", photograph("chelsea"), **{field: CLASSIFIER, "top_k": "2"})
    assert answer.json["model"] == CLASSIFIER
    assert [set(each) for each in answer.json["classifications"]] == [{"label", "confidence"}] * 2


@pytest.mark.parametrize("before", ["models/", "/models/", "./models/"])
def test_the_model_may_be_named_by_its_path(post: Post, before: str) -> None:
    assert post("classify", photograph("chelsea"), model_id=before + CLASSIFIER).json["model"] == CLASSIFIER


def test_an_empty_field_is_as_good_as_none(post: Post) -> None:
    answer = post("classify", photograph("chelsea"), model="", model_id="", top_k="")
    assert len(answer.json["classifications"]) == 5


def form_of(kind: str) -> bytes:
    """The cat in one of the forms in which pictures come."""
    image = cat()
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = ON_ITS_SIDE
    return {
        "on its side": lambda: encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif),
        "alpha": lambda: encoded(image.convert("RGBA")),
        "palette": lambda: encoded(image.convert("P")),
        "grey": lambda: encoded(image.convert("L")),
        "16 bits": lambda: encoded(image.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")),
        "cmyk": lambda: encoded(image.convert("CMYK"), "JPEG"),
        "webp": lambda: encoded(image, "WEBP"),
        "bmp": lambda: encoded(image, "BMP"),
    }[kind]()


@pytest.mark.parametrize("kind", ["on its side", "alpha", "palette", "grey", "16 bits", "cmyk", "webp", "bmp"])
def test_a_cat_is_a_cat_in_every_form(post: Post, kind: str) -> None:
    found = post("classify", form_of(kind)).json["classifications"]
    assert {"Egyptian cat", "tabby, tabby cat", "tiger cat"} & {each["label"] for each in found[:2]}, found


# Detection


def test_things_are_found_and_named(post: Post) -> None:
    answer = post("detect", encoded(Image.new("RGB", (200, 100))), model_id="hand-set")
    assert answer.status_code == 200
    assert (answer.json["width"], answer.json["height"], answer.json["model"]) == (200, 100, "hand-set")
    first = answer.json["detections"][0]
    assert (first["label"], first["bbox"]) == ("person", pytest.approx([125, 0, 175, 50], abs=0.05))


def test_names_are_chinese_for_who_reads_chinese(post: Post) -> None:
    answer = post("detect", encoded(cat()), model_id="hand-set", language="zh-CN")
    assert [each["label"] for each in answer.json["detections"]] == ["人", "交通信号灯", "猫"]


@pytest.mark.parametrize("labels", ["cat,person", "猫，人", ["cat", "person"], ["CAT", "人"], "person, cat, person"])
def test_only_what_is_asked_for(post: Post, labels: Any) -> None:
    answer = post("detect", encoded(cat()), model_id="hand-set", labels=labels)
    assert [each["label"] for each in answer.json["detections"]] == ["person", "cat"]


def test_only_what_is_sure(post: Post) -> None:
    answer = post("detect", encoded(cat()), model_id="hand-set", threshold="0.9")
    assert [each["label"] for each in answer.json["detections"]] == ["person"]


def test_a_photo_on_its_side_has_upright_boxes(post: Post) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = ON_ITS_SIDE
    answer = post("detect", encoded(Image.new("RGB", (100, 200)), "JPEG", exif=exif), model_id="hand-set")
    assert (answer.json["width"], answer.json["height"]) == (200, 100)
    assert answer.json["detections"][0]["bbox"] == pytest.approx([125, 0, 175, 50], abs=0.05)


# What else people send


def truncated() -> bytes:
    data = photograph("chelsea").read_bytes()
    return data[: len(data) // 2]


def animated() -> bytes:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


BAD = {
    "none": ([], 400),
    "two": ([b"1", b"2"], 400),
    "empty": ([b""], 400),
    "a PDF": ([b"%PDF-1.7 and so on"], 415),
    "a text": ([b"just a text"], 415),
    "a sound": ([b"RIFF\x24\0\0\0WAVEfmt "], 415),
    "truncated": ([truncated], 422),
    "animated": ([animated], 422),
    "too many pixels": ([samples.huge_png], 422),
    "an SVG": ([b'<svg xmlns="http://www.w3.org/2000/svg"/>'], 415),
    "an archive": ([b"PK\x03\x04" + bytes(100)], 415),
    "a HEIC": ([b"\0\0\0\x18ftypheic" + bytes(100)], 415),
    "a GIF": ([lambda: encoded(Image.new("RGB", (9, 9)), "GIF")], 415),
    "garbage": ([bytes(range(256)) * 40], 415),
    "a head alone": ([b"\xff\xd8\xff\xe0"], 422),
    "a strip": ([lambda: encoded(Image.new("1", (30_000, 1)))], 422),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("route", ["classify", "detect"])
def test_what_is_no_picture_is_refused(post: Post, vision_services: Services, route: str, case: str) -> None:
    files, status = BAD[case]
    model = {"classify": CLASSIFIER, "detect": "hand-set"}[route]
    answer = post(route, *(data() if callable(data) else data for data in files), model_id=model)
    assert answer.status_code == status, answer.text
    assert answer.json["detail"] == answer.json["error"]["message"]
    assert list(vision_services.files.folder("uploads").glob("*")) == []
    assert list(vision_services.files.folder("uploads").glob(".part*")) == []


def test_a_text_in_place_of_the_file_is_told(client: FlaskClient, login: Login) -> None:
    form = {"data": {"image": "picture.jpg"}, "content_type": "multipart/form-data"}
    answer = client.post("/api/image-recognition/classify", headers=login(), **form)
    assert (answer.status_code, answer.json["error"]["details"]) == (400, {"field": "image", "reason": "required"})


def test_json_is_told_that_a_file_is_wanted(client: FlaskClient, login: Login) -> None:
    answer = client.post("/api/image-recognition/classify", headers=login(), json={"image": "x"})
    assert answer.status_code == 400


@pytest.mark.parametrize("value", ["[" * 200_000, '{"a":' * 100_000, "9" * 5000])
def test_a_field_that_is_a_trap_for_parsers_is_a_wrong_field(post: Post, value: str) -> None:
    assert post("classify", encoded(cat()), top_k=value).status_code == 422


def test_nobody_names_a_file_of_the_service(post: Post, vision_services: Services) -> None:
    secret = vision_services.files.keep(encoded(cat()), "uploads", ".png", owner="somebody")
    answer = post("classify", image=secret.name, owner="somebody")
    assert answer.status_code == 400


def test_a_file_that_is_too_large_is_refused(app: Flask, post: Post, vision_services: Services) -> None:
    vision_services.settings.max_upload_mb = 1
    answer = post("classify", b"\xff\xd8\xff" + bytes(2**20))
    assert answer.status_code == 413
    assert list(vision_services.files.folder("uploads").glob("*")) == []


def test_a_picture_of_one_pixel_is_a_picture(post: Post) -> None:
    assert post("classify", encoded(Image.new("RGB", (1, 1)))).status_code == 200


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [
        ("classify", "top_k", "0"),
        ("classify", "top_k", "1001"),
        ("classify", "top_k", "five"),
        ("classify", "model", "m" * 300),
        ("detect", "threshold", "1.5"),
        ("detect", "threshold", "-0.1"),
        ("detect", "threshold", "nan"),
        ("detect", "threshold", "high"),
        ("detect", "labels", "unicorn"),
    ],
)
def test_a_wrong_field_is_told(post: Post, route: str, field: str, value: str) -> None:
    model = {} if field == "model" else {"model_id": {"classify": CLASSIFIER, "detect": "hand-set"}[route]}
    answer = post(route, encoded(cat()), **model | {field: value})
    assert (answer.status_code, answer.json["error"]["details"]["field"]) == (422, field)


def test_an_unknown_label_is_told_with_those_there_are(post: Post) -> None:
    detail = post("detect", encoded(cat()), model_id="hand-set", labels="cat,unicorn").json["detail"]
    assert "unicorn" in detail and "traffic light" in detail


@pytest.mark.parametrize("model", ["nobody", "../../etc", "hand-set", "openai/gpt-4o", "gpt-4o", "demo"])
def test_a_model_that_does_not_classify_is_not_there(post: Post, model: str) -> None:
    assert post("classify", encoded(cat()), model=model).status_code == 404


def test_a_model_that_is_not_installed_says_how_to_get_it(post: Post) -> None:
    answer = post("classify", encoded(cat()), model="resnet50")
    assert answer.status_code == 503
    details = answer.json["error"]["details"]
    assert (details["reason"], details["command"]) == ("model_not_installed", "flask models pull resnet50")


def test_the_file_is_gone_after_the_request(post: Post, vision_services: Services) -> None:
    assert post("classify", photograph("coffee")).status_code == 200
    assert list(vision_services.files.folder("uploads").glob(".part*")) == []


def test_a_stranger_is_turned_away(client: FlaskClient) -> None:
    answer = client.post("/api/image-recognition/classify", data={"image": (io.BytesIO(b"x"), "x.png")})
    assert answer.status_code == 401
