"""Data sets, annotations, trainings and models: the loop from pictures and rows to a model that answers."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Visitor, visit
from tests.browser.conftest import NO_LIMITS
from tests.live import LiveServer
from tests.photographs import photograph
from tests.toy_trainer import BASE, PYTHONPATH, put_base, put_rows

ROWS = [{"instruction": f"What is {n}?", "response": f"It is <b>{n}</b>."} for n in range(30)]


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    file = tmp_path / "numbers.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in ROWS))
    return file


def test_a_data_set_is_uploaded_read_processed_and_deleted(user: Visitor, rows_file: Path) -> None:
    page = user.open("datasets")
    page.get_by_label("Choose or drop a file").set_input_files(rows_file)
    expect(page.get_by_label("Name")).to_have_value("numbers")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="numbers")).to_be_visible()
    expect(page.get_by_text("It is <b>0</b>.")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("What is 29?")).to_be_visible()
    page.get_by_role("tab", name="Statistics").click()
    expect(page.get_by_role("table")).to_contain_text("instruction")
    page.get_by_role("button", name="Make training data").click()
    page.get_by_role("dialog").get_by_role("button", name="Make training data").click()
    expect(page.get_by_role("heading", name="numbers_processed")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("train 24")
    page.get_by_role("link", name="All data sets").click()
    for name in ("numbers_processed", "numbers"):
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
        row.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(row).to_have_count(0)


def test_a_bad_line_is_named(user: Visitor, tmp_path: Path) -> None:
    user.expect(422, 400)
    (tmp_path / "bad.jsonl").write_text('{"instruction": "a", "response": "b"}\n{broken\n')
    page = user.open("datasets")
    page.get_by_label("Choose or drop a file").set_input_files(tmp_path / "bad.jsonl")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("2")


def test_pictures_are_described_reviewed_and_made_a_data_set(user: Visitor) -> None:
    page = user.open("annotate")
    page.get_by_label("Choose or drop pictures").set_input_files([photograph("coffee"), photograph("chelsea")])
    expect(page.get_by_text("coffee.png")).to_be_visible()
    page.get_by_role("button", name="Describe", exact=True).click()
    first = page.get_by_role("article").first
    expect(first.locator("img")).to_be_visible()
    assert first.locator("img").evaluate("(one) => one.naturalWidth") > 0
    first.get_by_label("Description").fill("A cup of espresso, seen from above.")
    first.get_by_role("button", name="Accept").click()
    expect(first.locator(".tag")).to_have_text("accepted")
    second = page.get_by_role("article").nth(1)
    second.get_by_role("button", name="Accept").focus()
    page.keyboard.press("r")
    expect(second.locator(".tag")).to_have_text("rejected")
    expect(page.get_by_text("1 accepted, 1 rejected of 2")).to_be_visible()
    page.get_by_role("tab", name="accepted").click()
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_label("Description")).to_have_value("A cup of espresso, seen from above.")
    page.get_by_role("button", name="Make a data set").click()
    page.get_by_role("dialog").get_by_label("Name").fill("cups")
    page.get_by_role("dialog").get_by_role("button", name="Make a data set").click()
    expect(page.get_by_role("heading", name="cups")).to_be_visible()
    expect(page.get_by_text("seen from above").first).to_be_visible()
    user.ask("DELETE", f"/api/v1/datasets/{page.url.rpartition('/')[2]}")


def test_files_that_are_no_pictures_are_told_and_lose_no_others(user: Visitor, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page = user.open("annotate")
    page.get_by_label("Choose or drop pictures").set_input_files([photograph("coffee"), tmp_path / "notes.png"])
    expect(page.get_by_text("coffee.png")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("notes.png")


# Trainings; the trainer takes no time and does what a description tells it, everything else is the service's.


@pytest.fixture
def school(tmp_path: Path) -> Iterator[LiveServer]:
    """A service with a trainer that waits where it is told to; not started yet."""
    put_base(tmp_path / "models")
    put_rows(tmp_path / "data")
    running = LiveServer(tmp_path, PYTHONPATH=PYTHONPATH, **NO_LIMITS)
    yield running
    if hasattr(running, "process"):
        running.stop(signal.SIGKILL)


def begin(visitor: Visitor, **plan: Any) -> str:
    """Start a training that does *plan*."""
    asked = {"model_type": "lora", "base_model": BASE, "dataset_path": "data/facts.jsonl", "epochs": 3, "save_steps": 5}
    return str(
        visitor.ask("POST", "/api/training/start", **asked, name="facts", description=json.dumps(plan))["task_id"]
    )


def step(page: Page) -> int:
    """How far the training is, as the page shows it."""
    return int(page.locator(".figure", has_text="Step").locator("b").inner_text().split("/")[0])


@pytest.mark.slow
def test_a_training_is_started_and_its_curve_grows_to_the_end(browser: Browser, school: LiveServer) -> None:
    school.start()
    with visit(browser, school.url) as visitor:
        visitor.expect(404)
        page = visitor.log_in().open("training")
        page.get_by_role("button", name="New training").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Base", exact=True)).to_have_value(BASE)
        dialog.get_by_label("Name of the result").fill("facts")
        dialog.get_by_text("More settings").click()
        dialog.get_by_label("Or a path on the server").fill("data/facts.jsonl")
        dialog.get_by_role("button", name="Start").click()
        expect(page.locator(".card .tag").first).to_have_text("completed")
        expect(page.locator(".curve path.loss")).to_be_attached()
        expect(page.get_by_role("img", name="The loss went from")).to_be_visible()
        expect(page.locator(".figure", has_text="Step").locator("b")).to_have_text("30 / 30")
        expect(page.get_by_role("heading", name="Try it")).to_be_visible()
        expect(page.get_by_role("link", name="Chat with it")).to_be_visible()


@pytest.mark.slow
def test_a_training_outlives_a_restart_of_the_server_under_a_watching_page(
    browser: Browser, school: LiveServer, tmp_path: Path
) -> None:
    school.start()
    with visit(browser, school.url) as visitor:
        visitor.expect(0, 404)
        visitor.log_in()
        gate = tmp_path / "gate"
        task = begin(visitor, wait=18, gate=str(gate))
        page = visitor.open(f"training/{task}")
        expect(page.locator(".figure", has_text="Step").locator("b")).to_have_text("17 / 30")
        school.stop(signal.SIGKILL)
        expect(page.get_by_text("The service is away")).to_be_visible()
        school.start()
        expect(page.get_by_text("The service is away")).to_have_count(0)
        gate.touch()
        expect(page.locator(".card .tag").first).to_have_text("completed")
        expect(page.locator(".figure", has_text="Step").locator("b")).to_have_text("30 / 30")
        expect(page.locator(".curve path.loss")).to_be_attached()


@pytest.mark.slow
def test_a_training_is_stopped_and_keeps_what_it_learned(browser: Browser, school: LiveServer, tmp_path: Path) -> None:
    school.start()
    with visit(browser, school.url) as visitor:
        visitor.expect(404)
        visitor.log_in()
        task = begin(visitor, wait=12, gate=str(tmp_path / "gate"))
        page = visitor.open(f"training/{task}")
        expect(page.locator(".figure", has_text="Step").locator("b")).to_have_text("11 / 30")
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        expect(page.locator(".card .tag").first).to_have_text("canceled")
        expect(page.get_by_role("heading", name="Try it")).to_be_visible()


@pytest.mark.slow
def test_why_a_training_failed_is_told(browser: Browser, school: LiveServer) -> None:
    school.start()
    with visit(browser, school.url) as visitor:
        visitor.expect(404)
        visitor.log_in()
        page = visitor.open(f"training/{begin(visitor, diverge=7)}")
        expect(page.locator(".card .tag").first).to_have_text("failed")
        expect(page.get_by_role("alert")).to_contain_text("The loss is NaN.")
