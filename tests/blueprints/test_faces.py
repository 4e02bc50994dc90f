"""System 3's faces over HTTP: real photographs, and whatever else people send."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, ImageOps

from backend.app import create_app
from services import pictures
from services.assemble import Services
from services.contracts.accounts import UserRequest
from services.domains import accounts
from tests.face_models import ASTRONAUT_BOX, FACES, astronaut, encoded, found_again, stranger, twins
from tests.fakes import samples
from tests.photographs import photograph

Login = Callable[..., dict[str, str]]
Post = Callable[..., Any]
PASSWORD = "a-password-of-a-user"
POINTS = {
    "left_eye",
    "right_eye",
    "left_eye_outer",
    "left_eye_inner",
    "right_eye_inner",
    "right_eye_outer",
    "nose",
}
STRANGER = {"face_id": None, "name": "unknown"}


@pytest.fixture
def app(face_services: Services) -> Flask:
    return create_app(services=face_services)


@pytest.fixture
def post(client: FlaskClient, login: Login) -> Post:
    """Send a picture to a route: `post("register", image, name="…")`; `by` sends another user's headers."""
    admin = login()

    def send(route: str, *images: Image.Image | bytes, by: dict[str, str] | None = None, **fields: Any) -> Any:
        files = [encoded(image) if isinstance(image, Image.Image) else image for image in images]
        form = {"image": [(io.BytesIO(data), "photo.jpg") for data in files], **fields}
        headers = (by or admin) | {"Accept-Language": fields.pop("language", "en")}
        url = f"/api/face-recognition/{route}"
        return client.post(url, data=form, headers=headers, content_type="multipart/form-data")

    return send


@pytest.fixture
def lin(face_services: Services, client: FlaskClient, login: Login) -> dict[str, str]:
    """Headers of a user who administers nothing."""
    accounts.add(UserRequest(username="lin", password=PASSWORD), services=face_services)
    return login("lin", PASSWORD)


@pytest.fixture
def faces(client: FlaskClient, login: Login) -> Callable[..., Any]:
    """`faces("get", "/face_…")`: a call of the list and its rows."""
    admin = login()

    def call(method: str = "get", path: str = "", by: dict[str, str] | None = None) -> Any:
        return client.open(f"/api/face-recognition/faces{path}", method=method.upper(), headers=by or admin)

    return call


def whose(answer: Any) -> list[tuple[str | None, str]]:
    return [(face["face_id"], face["name"]) for face in answer.json["faces"]]


# Detection


def test_a_face_is_detected(post: Post) -> None:
    answer = post("detect", photograph("astronaut").read_bytes())
    assert answer.status_code == 200
    (face,) = answer.json["faces"]
    assert (face["face_id"], tuple(face["bbox"])) == ("face_001", ASTRONAUT_BOX)
    assert 0.9 < face["confidence"] <= 1
    assert set(face["landmarks"]) == POINTS
    assert face["landmarks"]["left_eye"][0] < face["landmarks"]["right_eye"][0]
    assert (answer.json["model"], answer.json["width"], answer.json["height"]) == (FACES, 512, 512)


def test_faces_are_numbered(post: Post) -> None:
    assert [face["face_id"] for face in post("detect", twins()).json["faces"]] == ["face_001", "face_002"]


def test_a_photo_on_its_side_is_measured_upright(post: Post) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    turned = encoded(astronaut().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    (face,) = post("detect", turned).json["faces"]
    assert face["bbox"] == pytest.approx(ASTRONAUT_BOX, abs=3)


@pytest.mark.parametrize("kind", ["RGBA", "P", "L", "CMYK"])
def test_every_form_of_picture(post: Post, kind: str) -> None:
    data = encoded(astronaut().convert(kind), "JPEG" if kind == "CMYK" else "PNG")
    assert len(post("detect", data).json["faces"]) == 1


def test_a_picture_without_a_face_has_none(post: Post) -> None:
    assert post("detect", photograph("coffee").read_bytes()).json["faces"] == []
    assert post("recognize", photograph("coffee").read_bytes()).json["faces"] == []


# Registration and recognition


def test_somebody_is_found_again(post: Post) -> None:
    answer = post("register", photograph("astronaut").read_bytes(), name="艾琳·柯林斯")
    assert answer.status_code == 200
    face_id = answer.json["face_id"]
    assert re.fullmatch(r"face_[0-9a-f]{16}", face_id)
    assert answer.json == {"success": True, "face_id": face_id, "name": "艾琳·柯林斯", "photos": 1}
    found = post("recognize", found_again())
    assert whose(found) == [(face_id, "艾琳·柯林斯")]
    assert 0.9 < found.json["faces"][0]["confidence"] <= 1
    assert len(found.json["faces"][0]["bbox"]) == 4


def test_a_stranger_is_unknown(post: Post) -> None:
    assert whose(post("recognize", stranger())) == [(None, "unknown")]
    post("register", astronaut(), name="Eileen")
    (face,) = post("recognize", stranger()).json["faces"]
    assert {name: face[name] for name in STRANGER} == STRANGER
    assert 0 < face["confidence"] < 0.5


def test_the_threshold_decides_who_is_unknown(post: Post) -> None:
    face_id = post("register", astronaut(), name="Eileen").json["face_id"]
    assert whose(post("recognize", found_again(), threshold="0.999")) == [(None, "unknown")]
    assert whose(post("recognize", stranger(), threshold="0.01")) == [(face_id, "Eileen")]
    assert whose(post("recognize", stranger(), threshold="")) == [(None, "unknown")]


def test_the_threshold_is_a_setting(with_faces: Any, services: Services, login: Login, post: Post) -> None:
    post("register", astronaut(), name="Eileen")
    strict = create_app(services=with_faces(services, face_threshold=0.999)).test_client()
    form = {"image": (io.BytesIO(encoded(found_again())), "photo.png")}
    answer = strict.post("/api/face-recognition/recognize", data=form, headers=login())
    assert whose(answer) == [(None, "unknown")]


def test_each_on_a_picture_is_told(post: Post) -> None:
    face_id = post("register", astronaut(), name="Eileen").json["face_id"]
    both = Image.new("RGB", (1000, 520))
    both.paste(astronaut(), (0, 0))
    both.paste(stranger(), (540, 0))
    seen = {(face["face_id"], face["bbox"][0] > 512) for face in post("recognize", both).json["faces"]}
    assert seen == {(face_id, False), (None, True)}


def test_the_same_name_adds_a_photo(post: Post, faces: Any) -> None:
    first = post("register", astronaut(), name="Eileen").json
    second = post("register", found_again(), name="  Eileen ").json
    assert (second["face_id"], second["photos"]) == (first["face_id"], 2)
    third = post("register", stranger(), face_id=first["face_id"]).json
    assert (third["face_id"], third["name"], third["photos"]) == (first["face_id"], "Eileen", 3)
    assert whose(post("recognize", stranger())) == [(first["face_id"], "Eileen")]
    assert [(row["face_id"], row["photos"]) for row in faces().json["faces"]] == [(first["face_id"], 3)]


def test_the_same_photo_twice_is_one(post: Post) -> None:
    assert [post("register", astronaut(), name="Eileen").json["photos"] for _ in range(2)] == [1, 1]


def test_the_nearest_of_many_is_told(post: Post) -> None:
    post("register", stranger(3), name="Three")
    post("register", astronaut(), name="Eileen")
    post("register", stranger(5), name="Five")
    shown = [stranger(5), found_again(), ImageOps.mirror(stranger(3))]
    assert [whose(post("recognize", image))[0][1] for image in shown] == ["Five", "Eileen", "Three"]


# What is there and what goes


def test_the_list_shows_persons_without_measures(post: Post, faces: Any) -> None:
    ids = [
        post("register", image, name=name).json["face_id"]
        for image, name in ((astronaut(), "Eileen"), (stranger(), "Nobody"))
    ]
    listed = faces().json
    assert [row["face_id"] for row in listed["faces"]] == ids
    assert (listed["count"], listed["next"]) == (2, None)
    assert set(listed["faces"][0]) == {"face_id", "name", "photos", "models", "created_at"}
    assert listed["faces"][0]["models"] == ["dlib-faces@0.3.0"]
    page = faces(path="?limit=1").json
    assert [row["face_id"] for row in faces(path=f"?limit=1&after={page['next']}").json["faces"]] == ids[1:]
    assert faces(path=f"/{ids[0]}").json == listed["faces"][0]


def test_a_deletion_leaves_nothing(post: Post, faces: Any) -> None:
    face_id = post("register", astronaut(), name="Eileen").json["face_id"]
    post("register", found_again(), name="Eileen")
    answer = faces("delete", f"/{face_id}")
    assert (answer.status_code, answer.json) == (
        200,
        {"success": True, "removed": {"faces": 1, "embeddings": 2, "files": 0}},
    )
    assert whose(post("recognize", astronaut())) == [(None, "unknown")]
    assert post("recognize", astronaut()).json["faces"][0]["confidence"] == 0
    assert [faces("delete", f"/{face_id}").status_code, faces(path=f"/{face_id}").status_code] == [404, 404]
    assert post("register", astronaut(), face_id=face_id).status_code == 404
    assert post("register", astronaut(), name="Eileen").json["face_id"] != face_id


def test_everybody_goes_at_once(post: Post, faces: Any, lin: dict[str, str]) -> None:
    post("register", astronaut(), name="Eileen")
    post("register", stranger(), name="Nobody")
    kept = post("register", astronaut(), name="Eileen", by=lin).json["face_id"]
    assert faces("delete").json == {"success": True, "removed": {"faces": 2, "embeddings": 2, "files": 0}}
    assert faces("delete").json["removed"]["faces"] == 0
    assert [row["face_id"] for row in faces(by=lin).json["faces"]] == [kept]
    assert whose(post("recognize", astronaut(), by=lin)) == [(kept, "Eileen")]


def test_no_photo_is_kept(post: Post, face_services: Services) -> None:
    post("register", astronaut(), name="Eileen")
    assert files_in(face_services) == []


def test_photos_are_kept_where_the_operator_wants_them(
    with_faces: Any, services: Services, login: Login, lin: dict[str, str]
) -> None:
    client = create_app(services=with_faces(services, face_keep_photos=True)).test_client()

    def register(image: Image.Image) -> Any:
        form = {"image": (io.BytesIO(encoded(image)), "photo.png"), "name": "Eileen"}
        return client.post("/api/face-recognition/register", data=form, headers=lin).json

    face_id = register(astronaut())["face_id"]
    assert [register(image)["photos"] for image in (astronaut(), found_again())] == [1, 2]
    kept = files_in(services)
    assert [path.suffix for path in kept] == [".png", ".png"]
    assert encoded(astronaut()) in [path.read_bytes() for path in kept]
    assert client.get(f"/outputs/images/{kept[0].name}").status_code == 404
    answer = client.delete(f"/api/face-recognition/faces/{face_id}", headers=lin)
    assert answer.json["removed"] == {"faces": 1, "embeddings": 2, "files": 2}
    assert files_in(services) == []


def files_in(services: Services) -> list[Path]:
    """Everything that lies in the data folder."""
    return [path for path in services.settings.data_dir.rglob("*") if path.is_file()]


# Owners


def test_others_faces_are_not_there(post: Post, faces: Any, lin: dict[str, str]) -> None:
    theirs = post("register", astronaut(), name="Eileen").json["face_id"]
    assert faces(by=lin).json["faces"] == []
    assert faces(path=f"/{theirs}", by=lin).status_code == 404
    assert faces("delete", f"/{theirs}", by=lin).status_code == 404
    assert post("register", found_again(), face_id=theirs, by=lin).status_code == 404
    assert whose(post("recognize", astronaut(), by=lin)) == [(None, "unknown")]
    own = post("register", astronaut(), name="Eileen", by=lin).json
    assert (own["face_id"] != theirs, own["photos"]) == (True, 1)


def test_an_admin_sees_all(post: Post, faces: Any, lin: dict[str, str]) -> None:
    theirs = post("register", astronaut(), name="Eileen", by=lin).json["face_id"]
    assert [row["face_id"] for row in faces().json["faces"]] == [theirs]
    assert post("register", stranger(), face_id=theirs).json["photos"] == 2
    assert whose(post("recognize", stranger(), by=lin)) == [(theirs, "Eileen")]
    assert faces("delete", f"/{theirs}").json["removed"]["embeddings"] == 2
    assert faces(by=lin).json["count"] == 0


def test_without_a_token(client: FlaskClient) -> None:
    for method, path in (("get", "/faces"), ("delete", "/faces"), ("delete", "/faces/face_1"), ("post", "/register")):
        assert client.open(f"/api/face-recognition{path}", method=method.upper()).status_code == 401


def test_anonymous_registers_and_is_found_again(face_services: Services) -> None:
    open_settings = face_services.settings.model_copy(update={"auth": "open"})
    client = create_app(services=replace(face_services, settings=open_settings)).test_client()
    form = {"image": (io.BytesIO(encoded(astronaut())), "a.png"), "name": "Eileen"}
    face_id = client.post("/api/face-recognition/register", data=form).json["face_id"]
    again = {"image": (io.BytesIO(encoded(found_again())), "a.png")}
    assert whose(client.post("/api/face-recognition/recognize", data=again)) == [(face_id, "Eileen")]


# What else people send


def truncated() -> bytes:
    data = photograph("astronaut").read_bytes()
    return data[: len(data) // 2]


def animated() -> bytes:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


BAD: dict[str, tuple[list[Any], int]] = {
    "none": ([], 400),
    "two": ([b"1", b"2"], 400),
    "empty": ([b""], 400),
    "a PDF": ([b"%PDF-1.7 and so on"], 415),
    "a text": ([b"just a text"], 415),
    "truncated": ([truncated], 422),
    "animated": ([animated], 422),
    "too many pixels": ([samples.huge_png], 422),
    "a head alone": ([b"\xff\xd8\xff\xe0"], 422),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("route", ["detect", "register", "recognize"])
def test_what_is_no_picture_is_refused(post: Post, face_services: Services, route: str, case: str) -> None:
    files, status = BAD[case]
    answer = post(route, *(data() if callable(data) else data for data in files), name="Eileen")
    assert answer.status_code == status, answer.text
    assert answer.json["detail"] == answer.json["error"]["message"]
    assert files_in(face_services) == []


def test_a_picture_of_one_pixel_has_no_face(post: Post) -> None:
    dot = Image.new("RGB", (1, 1))
    assert [post(route, dot).json["faces"] for route in ("detect", "recognize")] == [[], []]
    assert post("register", dot, name="Dot").status_code == 422


@pytest.mark.parametrize(
    ("image", "reason", "words"),
    [
        (lambda: Image.open(photograph("chelsea")), "no_face", "no face"),
        (twins, "several_faces", "2 faces"),
    ],
)
def test_a_registration_needs_one_face(post: Post, faces: Any, image: Any, reason: str, words: str) -> None:
    answer = post("register", image(), name="Eileen")
    assert answer.status_code == 422
    assert answer.json["error"]["details"] == {"field": "image", "reason": reason}
    assert words in answer.json["detail"]
    assert faces().json["count"] == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "required"),
        ("   ", "required"),
        ("n" * 10_240, "string_too_long"),
        ("名" * 201, "string_too_long"),
        ("a\0b", "value_error"),
        ("two\nlines", "value_error"),
        ("\x1b[2J", "value_error"),
    ],
)
def test_a_name_that_is_none(post: Post, name: str, reason: str) -> None:
    answer = post("register", astronaut(), name=name)
    assert answer.status_code == 422
    assert answer.json["error"]["details"] == {"field": "name", "reason": reason}


def test_a_missing_name(post: Post) -> None:
    answer = post("register", astronaut(), language="zh-CN")
    assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (422, "required")


@pytest.mark.parametrize("name", ["O'Brien; DROP TABLE faces", "名" * 200, "👩‍🚀", "<b>x</b>", "../../etc", "%s %n"])
def test_a_name_is_a_name(post: Post, faces: Any, name: str) -> None:
    assert post("register", astronaut(), name=name).json["name"] == name
    assert [row["name"] for row in faces().json["faces"]] == [name]


def test_one_name_however_it_is_composed(post: Post) -> None:
    first = post("register", astronaut(), name="Jose\u0301").json
    assert post("register", stranger(), name="Jos\u00e9").json["face_id"] == first["face_id"]


@pytest.mark.parametrize("face_id", ["face_001", "face_" + "0" * 16, "x", "..%2f", "f" * 64, "' OR 1=1 --"])
def test_a_face_id_of_nobody(post: Post, faces: Any, face_id: str) -> None:
    assert post("register", astronaut(), face_id=face_id, name="Eileen").status_code == 404
    assert faces("delete", f"/{face_id}").status_code == 404
    assert faces().json["count"] == 0


def test_a_face_id_of_another_name(post: Post) -> None:
    face_id = post("register", astronaut(), name="Eileen").json["face_id"]
    answer = post("register", stranger(), face_id=face_id, name="Mo")
    assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (422, "other_person")
    assert post("register", stranger(), face_id=face_id, name="Eileen").json["photos"] == 2


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "high"])
def test_a_wrong_threshold_is_told(post: Post, value: str) -> None:
    answer = post("recognize", astronaut(), threshold=value)
    assert (answer.status_code, answer.json["error"]["details"]["field"]) == (422, "threshold")


@pytest.mark.parametrize("model", ["nobody", "efficientnet-lite0", "openai/gpt-4o", "demo"])
def test_a_model_that_knows_no_faces_is_not_there(post: Post, model: str) -> None:
    assert post("detect", astronaut(), model=model).status_code == 404


@pytest.mark.parametrize(("model", "reason"), [("", "no_model"), (FACES, "model_not_installed")])
def test_a_model_that_is_not_installed_says_how_to_get_it(
    services: Services, login: Login, model: str, reason: str
) -> None:
    bare = create_app(services=services).test_client()
    form = {"image": (io.BytesIO(encoded(astronaut())), "photo.png"), "name": "Eileen", "model": model}
    answer = bare.post("/api/face-recognition/register", data=form, headers=login() | {"Accept-Language": "en"})
    assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (503, reason)
    assert "flask models pull" in answer.json["detail"]
