"""Pictures, films and speech: made, shown, kept and made again."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.browser.chromium import Visitor, launch, visit
from tests.live import LiveServer, wait_for
from tests.photographs import photograph
from tests.sounds import RATE, Samples, write_sound

REFUSE = """() => { navigator.mediaDevices.getUserMedia =
  () => Promise.reject(new DOMException('', 'NotAllowedError')); }"""


def test_a_picture_is_painted_kept_looked_at_made_again_and_deleted(user: Visitor) -> None:
    page = user.open("images")
    page.get_by_label("What it shows", exact=True).fill("a red lighthouse at dusk")
    page.get_by_label("Model").select_option("demo")
    page.get_by_role("button", name="Paint").click()
    fresh = page.locator(".fresh img")
    expect(fresh).to_be_visible()
    expect(fresh).to_have_js_property("complete", True)
    assert fresh.evaluate("(image) => image.naturalWidth") > 0
    pieces = page.locator(".gallery .piece").filter(has_text="a red lighthouse at dusk")
    expect(pieces).to_have_count(1)
    pieces.first.get_by_role("button", name="Make it again").click()
    expect(pieces).to_have_count(2)
    pieces.first.get_by_role("button", name="Look at").click()
    expect(page.get_by_role("dialog")).to_contain_text("seed")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    pieces.first.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(pieces).to_have_count(1)


def test_a_picture_is_changed(user: Visitor) -> None:
    page = user.open("images")
    page.get_by_role("tab", name="From a picture").click()
    page.get_by_label("Choose or drop a picture").set_input_files(photograph("coffee"))
    page.get_by_label("What it shows", exact=True).fill("the same, in the evening")
    page.get_by_label("Model").select_option("demo")
    page.get_by_role("button", name="Paint").click()
    expect(page.locator(".fresh img")).to_be_visible()


def test_what_is_wrong_with_a_request_is_told(user: Visitor) -> None:
    user.expect(422)
    page = user.open("images")
    page.get_by_label("What it shows", exact=True).fill("x")
    page.get_by_label("Model").select_option("demo")
    page.get_by_text("More settings").click()
    page.get_by_label("Seed").fill("not a number")
    page.get_by_role("button", name="Paint").click()
    expect(page.get_by_role("alert")).to_contain_text("seed")
    expect(page.get_by_role("alert")).to_contain_text("req-")


def test_a_film_is_made_and_listed(user: Visitor) -> None:
    page = user.open("video")
    page.get_by_label("What happens").fill("a ball bounces")
    page.get_by_label("Model").select_option("demo")
    page.get_by_label("Length").select_option("1")
    page.get_by_role("button", name="Film").click()
    film = page.locator(".fresh video")
    expect(film).to_be_visible()
    wait_for(lambda: film.evaluate("(one) => one.readyState > 0"), what="the film to be loaded")
    assert film.evaluate("(one) => one.error") is None
    expect(page.locator(".gallery .piece").filter(has_text="a ball bounces").first).to_be_visible()


def test_a_text_is_spoken(user: Visitor) -> None:
    page = user.open("speech/say")
    page.get_by_label("Text", exact=True).fill("Good morning.")
    page.get_by_role("button", name="Speak").click()
    sound = page.locator("audio")
    expect(sound).to_be_visible()
    wait_for(lambda: sound.evaluate("(one) => one.duration > 0.3"), what="the sound to be loaded")


@pytest.mark.slow
def test_a_file_is_written_down_and_given_as_subtitles(user: Visitor, spoken_wav: Path) -> None:
    page = user.open("speech")
    page.get_by_label("Or drop a sound or film").set_input_files(spoken_wav)
    expect(page.locator(".segments")).to_contain_text("brown fox")
    with page.expect_download() as begun:
        page.get_by_role("button", name="SRT").click()
    assert "-->" in Path(begun.value.path()).read_text()


@pytest.mark.slow
def test_a_microphone_is_written_down(
    playwright: Playwright, server: LiveServer, spoken: Samples, tmp_path: Path
) -> None:
    sound = write_sound(tmp_path / "microphone.wav", np.concatenate([spoken, np.zeros(RATE, np.float32)]))
    browser = launch(playwright, f"--use-file-for-fake-audio-capture={sound}")
    with visit(browser, server.url, permissions=["microphone"]) as visitor:
        page = visitor.log_in().open("speech")
        page.get_by_role("button", name="Record").click()
        expect(page.locator(".level")).to_be_visible()
        page.wait_for_timeout(1000 * (len(spoken) / RATE + 2))
        page.get_by_role("button", name="Finish").click()
        expect(page.locator(".segments")).to_contain_text(re.compile("brown fox|lazy dog"))
    browser.close()


def test_a_refused_microphone_is_told(browser: Browser, server: LiveServer) -> None:
    with visit(browser, server.url) as visitor:
        page = visitor.log_in().open("speech")
        page.evaluate(REFUSE)
        page.get_by_role("button", name="Record").click()
        expect(page.get_by_text("was not allowed to use the microphone")).to_be_visible()
