"""Recognition, faces and the camera: boxes lie where they belong."""

from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Playwright, expect

from tests.browser.chromium import SECONDS, Visitor, launch, visit
from tests.face_models import astronaut
from tests.live import LiveServer, wait_for
from tests.photographs import photograph


def drawn(overlay: Locator) -> list[dict[str, float]]:
    """The boxes of an overlay, in parts of its width and height."""
    return list(
        overlay.evaluate(
            """(one) => { const [, , w, h] = one.querySelector('svg').getAttribute('viewBox').split(' ').map(Number);
            return [...one.querySelectorAll('rect.box-in')].map((box) => ({ x: box.x.baseVal.value / w,
            y: box.y.baseVal.value / h, w: box.width.baseVal.value / w, h: box.height.baseVal.value / h })); }"""
        )
    )


def overlay_fits(overlay: Locator) -> bool:
    """Whether the drawing covers the picture exactly."""
    return bool(
        overlay.evaluate(
            """(one) => { const [a, b] = [one.querySelector('img, video'), one.querySelector('svg')]
            .map((part) => part.getBoundingClientRect());
            return Math.abs(a.width - b.width) < 2 && Math.abs(a.height - b.height) < 2 && Math.abs(a.x - b.x) < 2; }"""
        )
    )


REFUSE = """() => { navigator.mediaDevices.getUserMedia =
  () => Promise.reject(new DOMException('', 'NotAllowedError')); }"""


def test_a_picture_is_classified(user: Visitor) -> None:
    page = user.open("recognition")
    page.get_by_label("Choose or drop a picture").set_input_files(photograph("coffee"))
    expect(page.locator(".bar").first).to_contain_text("espresso")
    assert page.locator(".bar progress").first.evaluate("(bar) => bar.value") > 0.5


def test_things_are_found_and_their_boxes_drawn(user: Visitor) -> None:
    page = user.open("recognition")
    page.get_by_role("tab", name="What is where").click()
    page.get_by_label("Model").select_option("hand-set")
    page.get_by_label("Choose or drop a picture").set_input_files(photograph("chelsea"))
    expect(page.locator(".list li").first).to_be_visible()
    boxes = drawn(page.locator(".overlay"))
    assert boxes
    assert all(0 <= box["x"] <= 1 and box["x"] + box["w"] <= 1.001 for box in boxes)
    assert overlay_fits(page.locator(".overlay"))


def test_what_is_no_picture_is_told(user: Visitor, tmp_path: Path) -> None:
    user.expect(415)
    (tmp_path / "x.png").write_text("no picture")
    page = user.open("recognition")
    page.get_by_label("Choose or drop a picture").set_input_files(tmp_path / "x.png")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    file = tmp_path / "portrait.png"
    astronaut().save(file)
    return file


def register(page: Page, name: str, photo: Path) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Photos of that person").set_input_files(photo)
    page.get_by_role("button", name="Register").click()
    expect(page.locator("section", has_text="People").get_by_text(name)).to_be_visible()


def test_a_face_is_registered_recognized_and_forgotten(user: Visitor, portrait: Path) -> None:
    page = user.open("faces")
    register(page, "Eileen", portrait)
    page.get_by_label("Choose or drop a picture").set_input_files(portrait)
    expect(page.locator(".overlay text")).to_contain_text("Eileen")
    (box,) = drawn(page.locator(".overlay"))
    assert 0.2 < box["x"] < 0.6
    assert box["y"] < 0.3
    page.get_by_role("tab", name="Where they are").click()
    expect(page.locator(".overlay circle").first).to_be_attached()
    page.get_by_role("button", name="Forget Eileen").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(page.get_by_role("heading", name="Nobody is registered")).to_be_visible()


def as_film(pictures: list[Image.Image], target: Path) -> Path:
    """A film that shows each of *pictures* for a second, over and over, as Chromium's fake camera reads it."""
    with av.open(str(target), "w", format="mjpeg") as container:
        stream: Any = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = *pictures[0].size, "yuvj420p"
        for picture in pictures:
            for _ in range(10):
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return target


def at(left: int) -> Image.Image:
    """The portrait on a wider picture, so far from its left side."""
    wide = Image.new("RGB", (896, 512), "grey")
    wide.paste(astronaut(), (left, 0))
    return wide


@pytest.mark.slow
def test_a_camera_sees_who_is_before_it(
    playwright: Playwright, server: LiveServer, portrait: Path, tmp_path: Path
) -> None:
    film = as_film([at(0), at(384)], tmp_path / "camera.mjpeg")
    browser = launch(playwright, f"--use-file-for-fake-video-capture={film}")
    with visit(browser, server.url, permissions=["camera"]) as visitor:
        page = visitor.log_in().open("faces")
        register(page, "Collins", portrait)
        visitor.open("camera")
        page.get_by_role("button", name="Start the camera").click()
        expect(page.locator(".overlay text").first).to_contain_text("Collins")
        assert overlay_fits(page.locator(".overlay"))
        seen: set[float] = set()

        def has_moved() -> bool:
            seen.update(box["x"] for box in drawn(page.locator(".overlay")))
            return min(seen) < 0.3 and max(seen) > 0.5

        wait_for(has_moved, what="the box to follow the face", seconds=SECONDS)
        assert all(0.1 < x < 0.8 for x in seen)
        expect(page.locator(".figures")).to_contain_text("ms")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Start the camera")).to_be_visible()
        assert page.locator("video").evaluate(
            "(one) => one.srcObject.getTracks().every((t) => t.readyState === 'ended')"
        )
        visitor.ask("DELETE", "/api/face-recognition/faces")
    browser.close()


def test_a_refused_camera_is_told(user: Visitor) -> None:
    page = user.open("camera")
    page.evaluate(REFUSE)
    page.get_by_role("button", name="Start the camera").click()
    expect(page.get_by_role("alert")).to_contain_text("was not allowed to use the camera")
