"""What a frame shows, and that frames of many cameras go through the model together."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from services.assemble import Services
from services.contracts.camera import CameraOptions, Frame, Look
from services.domains import camera
from services.errors import Invalid, NotFound, UnsupportedMedia
from tests.live import wait_for
from tests.vision_models import HAND_SET, LABELS

CAMERAS = 5


def picture(width: int = 320, height: int = 240, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "green").save(file, kind)
    return file.getvalue()


def look(services: Services, data: bytes, owner: str = "ann", **options: Any) -> Look:
    wanted = CameraOptions(mode="detect", **({"model": "hand-set"} | options))
    return camera.look(Frame(picture=data, options=wanted, owner=owner), services=services)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_frame_shows_what_the_model_sees(vision_services: Services, kind: str) -> None:
    seen = look(vision_services, picture(kind=kind), threshold=0.1)
    assert seen.kind == "detections"
    surest = sorted(HAND_SET, key=lambda one: -one[1])
    assert [found["label"] for found in seen.found] == [LABELS[number] for number, _, _ in surest]
    assert seen.found[0]["bbox"] == pytest.approx((200, 0, 280, 120), abs=1)
    assert seen.ms > 0


def test_the_threshold_is_the_routes_own_when_nobody_names_one(vision_services: Services) -> None:
    assert all(found["confidence"] > 0.5 for found in look(vision_services, picture()).found)


def test_no_frame_is_written_to_the_disk(vision_services: Services) -> None:
    look(vision_services, picture())
    with pytest.raises(Invalid):
        look(vision_services, picture()[:200])
    with pytest.raises(UnsupportedMedia, match="application/pdf"):
        look(vision_services, b"%PDF-1.7\n")
    assert not vision_services.files.folder("uploads").exists()


def test_an_unknown_model_is_told(vision_services: Services) -> None:
    with pytest.raises(NotFound):
        look(vision_services, picture(), model="nobody")


def test_frames_of_many_cameras_share_one_batch(vision_services: Services) -> None:
    look(vision_services, picture())
    row = next(row for row in vision_services.catalog.rows() if row.id == "hand-set")
    passes: list[int] = []
    with vision_services.pool.lease(row, lambda: vision_services.catalog.path(row)) as engine:
        batches: Any = engine._batches  # type: ignore[attr-defined]
        others_wait = threading.Event()

        def note(_model: Any, _given: Any, named: dict[str, Any]) -> None:
            passes.append(len(named["pixel_values"]))
            others_wait.wait(30)

        hook = engine._model.register_forward_pre_hook(note, with_kwargs=True)  # type: ignore[attr-defined]
        with ThreadPoolExecutor(CAMERAS) as cameras:
            looks = [cameras.submit(look, vision_services, picture(), "first")]
            wait_for(lambda: passes == [1], what="the first to run", seconds=30)
            looks += [cameras.submit(look, vision_services, picture(), f"user {n}") for n in range(CAMERAS - 1)]
            wait_for(lambda: batches.waiting == CAMERAS - 1, what="the others to wait", seconds=30)
            others_wait.set()
            assert all(one.result(30).found for one in looks)
        hook.remove()
    assert passes == [1, CAMERAS - 1]
