"""Models, jobs, providers, keys, usage and accounts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Visitor, visit
from tests.browser.conftest import NO_LIMITS
from tests.fakes.vendor import VendorFake
from tests.live import LiveServer, wait_for


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[LiveServer]:
    """A service without any model."""
    running = LiveServer(tmp_path, **NO_LIMITS).start()
    yield running
    running.stop()


@pytest.mark.slow
def test_a_model_is_pulled_before_ones_eyes(browser: Browser, bare: LiveServer) -> None:
    with visit(browser, bare.url) as visitor:
        page = visitor.log_in().open("models")
        page.get_by_label("Pull a model").fill("no-such-model")
        visitor.expect(404)
        page.get_by_role("button", name="Pull", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("no-such-model")
        page.get_by_role("button", name="Pull dlib-faces").click()
        expect(page.get_by_text("Pulling dlib-faces").first).to_be_visible()
        row = page.get_by_role("row").filter(has_text="dlib-faces")
        expect(row).to_contain_text("ready", timeout=120_000)


def test_models_are_found_by_what_they_can(user: Visitor) -> None:
    page = user.open("models")
    page.get_by_label("Which ability").select_option("transcription")
    page.get_by_label("Which place").select_option("installed")
    rows = page.get_by_role("region", name="Models").get_by_role("row")
    expect(rows.filter(has_text="whisper-base")).to_be_visible()
    expect(rows.filter(has_text="smollm2")).to_have_count(0)


def test_jobs_are_listed_with_their_results(user: Visitor) -> None:
    made = user.ask("POST", "/api/text-to-image/generate", prompt="a tree", model_id="demo", width=64, height=64)
    user.ask("GET", f"/api/jobs/{made['task_id']}?wait=30")
    page = user.open("jobs")
    page.get_by_role("button", name="Picture").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(made["task_id"])
    expect(dialog.get_by_role("link", name=re.compile(r"[0-9a-f]{32}\.png"))).to_be_visible()


def test_a_waiting_job_is_given_up(user: Visitor) -> None:
    asked = {"prompt": "a long film", "model_id": "demo", "num_frames": 257, "width": 1280, "height": 720}
    made = user.ask("POST", "/api/text-to-video/generate", **asked)
    page = user.open("jobs")
    row = page.get_by_role("row").filter(has_text="Film").first
    row.get_by_role("button", name="Cancel").click()
    assert user.ask("GET", f"/api/jobs/{made['task_id']}?wait=30")["status"] == "canceled"
    expect(row).to_contain_text("canceled")


def test_a_provider_is_added_tried_and_deleted(user: Visitor, openai_fake: VendorFake) -> None:
    page = user.open("providers")
    page.get_by_role("button", name="Add a provider").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("my openai")
    dialog.get_by_label("Provider", exact=True).select_option("openai_like")
    dialog.get_by_label("API key").fill("sk-wrong-000000000000")
    dialog.get_by_label("Model").fill("gpt-4o-mini")
    dialog.get_by_label("Address").fill(openai_fake.base_url)
    dialog.get_by_role("button", name="Test").click()
    expect(dialog).to_contain_text("does not work")
    dialog.get_by_label("API key").fill(openai_fake.key)
    dialog.get_by_role("button", name="Save").click()
    card = page.get_by_role("article", name="my openai")
    expect(card).to_contain_text("active")
    assert openai_fake.key not in page.content()
    card.get_by_role("button", name="Test").click()
    expect(card).to_contain_text(re.compile(r"works, \d+ ms"))
    card.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)


def test_a_key_is_shown_once_and_revoked(user: Visitor) -> None:
    page = user.open("keys")
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make a key").click()
    key = page.get_by_role("dialog").locator("code").inner_text()
    headers = {"Authorization": f"Bearer {key}"}
    assert user.context.request.get(f"{user.url}/api/auth/me", headers=headers).status == 200
    page.get_by_role("button", name="Done").click()
    assert key not in page.content()
    page.get_by_role("button", name="Revoke laptop").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("heading", name="No keys yet")).to_be_visible()
    assert user.context.request.get(f"{user.url}/api/auth/me", headers=headers).status == 401


def test_usage_and_what_is_stored_are_shown(user: Visitor) -> None:
    asked = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    user.ask("POST", "/api/chat/completions", **asked)
    # What was used is written in batches.
    wait_for(lambda: user.ask("GET", "/api/usage")["usage"], what="the call to be counted")
    page = user.open("usage")
    expect(page.get_by_role("row").filter(has_text="smollm2-135m-instruct")).to_be_visible()
    page.get_by_role("tab", name="Day").click()
    expect(page.get_by_role("table")).to_contain_text("20")
    expect(page.locator(".figures")).to_contain_text("MB")


def test_a_user_is_added_and_disabled(user: Visitor, browser: Browser) -> None:
    page = user.open("account")
    page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("lin")
    dialog.get_by_label("Password").fill("correct-horse-staple")
    dialog.get_by_role("button", name="Add a user").click()
    row = page.get_by_role("row").filter(has_text="lin")
    expect(row).to_contain_text("active")
    with visit(browser, user.url) as other:
        narrow = other.log_in("lin", "correct-horse-staple").open("models")
        expect(narrow.get_by_label("Pull a model")).to_have_count(0)
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled")


def test_a_wrong_old_password_is_told(user: Visitor) -> None:
    user.expect(401, 403, 422)
    page = user.open("account")
    page.get_by_label("Present password").fill("wrong")
    page.get_by_label("New password").fill("another-long-password")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
