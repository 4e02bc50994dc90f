"""A running service with the starter set, a browser, and somebody who is logged in."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.browser.chromium import SECONDS, Visitor, launch, visit
from tests.live import LiveServer

NO_LIMITS = {f"RATE_LIMIT_{name}": "100000/minute" for name in ("DEFAULT", "STATUS", "GENERATION", "TRAINING")}
LOCAL_UPSTREAMS = {"ALLOW_HTTP_UPSTREAMS": "true", "ALLOWED_UPSTREAMS": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    running = launch(playwright)
    yield running
    running.close()


@pytest.fixture(scope="session")
def starter_models(
    tmp_path_factory: pytest.TempPathFactory,
    chat_models: Path,
    vision_models: Path,
    face_models: Path,
    sound_models: Path,
) -> Path:
    """A models folder with all that the pages need."""
    folder = tmp_path_factory.mktemp("starter")
    for source in (chat_models, vision_models, face_models, sound_models):
        for model in source.iterdir():
            if model.is_dir() and not (folder / model.name).exists():
                (folder / model.name).symlink_to(model)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, starter_models: Path) -> Iterator[LiveServer]:
    """One running service for all tests that leave it running."""
    folder = tmp_path_factory.mktemp("console")
    (folder / "models").symlink_to(starter_models)
    running = LiveServer(folder, **NO_LIMITS, **LOCAL_UPSTREAMS).start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path, chat_models: Path) -> Iterator[LiveServer]:
    """A service of this test alone, which may be ended; not started yet."""
    (tmp_path / "models").symlink_to(chat_models)
    running = LiveServer(tmp_path, **NO_LIMITS)
    yield running
    if hasattr(running, "process"):
        running.stop(signal.SIGKILL)


@pytest.fixture
def guest(browser: Browser, server: LiveServer) -> Iterator[Visitor]:
    """Somebody who has come and not logged in."""
    with visit(browser, server.url) as visitor:
        yield visitor


@pytest.fixture
def user(guest: Visitor) -> Visitor:
    """The administrator, logged in."""
    return guest.log_in()
