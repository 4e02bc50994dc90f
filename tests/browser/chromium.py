"""Which Chromium the tests drive, and a page that notices whatever goes wrong on it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Playwright

from tests.live import ADMIN_PASSWORD

# A test ends as soon as it sees what it waits for; a busy machine takes a while.
SECONDS = 60
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NONE = "There is no Chromium: `apt-get install chromium`, or `.venv/bin/playwright install chromium`."
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


def launch(playwright: Playwright, *flags: str) -> Browser:
    """Playwright's own Chromium where that was fetched, else the system's. Fails, and does not skip, without one."""
    own = Path(playwright.chromium.executable_path)
    found = own if own.exists() else next((Path(path) for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(NONE)
    return playwright.chromium.launch(executable_path=found, args=[*FLAGS, *flags])


class Visitor:
    """Somebody at the console. What the browser complains of fails the test, but for answers that it `expects`."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.complaints: list[str] = []
        self.expected: set[int] = set()
        self.page: Page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}\n{error.stack}"))
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => "
            "console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"
        )

    def expect(self, *statuses: int) -> None:
        """Answers of these *statuses* are part of the test; 0 stands for a connection that breaks."""
        self.expected |= set(statuses)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        status = re.search(r"responded with a status of (\d+)", message.text)
        if status and int(status[1]) in self.expected:
            return
        if 0 in self.expected and re.search(r"net::ERR_|WebSocket connection to", message.text):
            return
        self.complaints.append(f"{message.type}: {message.text} {message.location}")

    def log_in(self, name: str = "admin", password: str = ADMIN_PASSWORD) -> "Visitor":
        """Come to the page and log in by the keyboard."""
        self.page.goto(self.url)
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.keyboard.press("Enter")
        # A narrow screen hides the list of pages.
        self.page.locator("nav").wait_for(state="attached")
        return self

    def open(self, place: str) -> Page:
        """Go to a page of the console by its address."""
        self.page.goto(f"{self.url}/#/{place}")
        self.page.locator(f".page.{place.partition('/')[0].partition('?')[0]} h1").first.wait_for()
        return self.page

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Call the API as the one who is logged in on the page."""
        token = self.page.evaluate("JSON.parse(localStorage.getItem('polymath.tokens'))?.token ?? ''")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self.context.request.fetch(self.url + path, method=method, headers=headers, data=body or None)
        assert answer.ok, f"{answer.status} {answer.text()}"
        return answer.json()


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visitor]:
    """A visitor with a browser profile of their own; fails at the end when the browser complained."""
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 860}, **options})
    visitor = Visitor(context, url)
    try:
        yield visitor
    finally:
        with suppress(Error):
            context.close()
    assert visitor.complaints == [], "\n".join(visitor.complaints)
