"""Chat: streamed, stopped, with pictures, side by side, broken off, and fed with markup."""

import json
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Visitor, visit
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.server import FakeServer
from tests.live import LiveServer, wait_for
from tests.photographs import photograph

MODEL = "smollm2-135m-instruct"
LONG = "Write a very long story about the sea, with many chapters."
HOSTILE = """<img src=x onerror="globalThis.hit = 1"> <script>globalThis.hit = 2</script>

# <svg onload="globalThis.hit = 3">

[click](javascript:globalThis.hit=4) [data](data:text/html,<script>globalThis.hit=5</script>) ![x](https://example.com/leak.png)

[a link](https://example.com/ "title") **<b onclick=alert(1)>bold</b>** `<i>code</i>`

| <img src=x onerror=globalThis.hit=6> | b |
|---|---|
| 1 | [x](vbscript:msgbox) |

```html
<iframe srcdoc="<script>parent.hit = 7</script>"></iframe>
```
<a href="javascript:globalThis.hit=8">raw</a> &lt;img src=x onerror=1&gt;
"""


class Speaker(FakeServer):
    """A chat server that says what it is told to, in small pieces, and keeps what it was asked."""

    said = "Hello."

    def __init__(self) -> None:
        super().__init__()
        self.add_route("POST", "/v1/chat/completions", Speaker.speak)

    def speak(self, request: RecordedRequest) -> Reply:
        return Reply(self._frames(request.json["model"]))

    def _frames(self, model: str) -> Iterator[str]:
        base = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        for piece in re.findall(r"[\s\S]{1,7}", self.said):
            yield self._frame({**base, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        yield self._frame({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield "data: [DONE]\n\n"

    @staticmethod
    def _frame(data: object) -> str:
        return f"data: {json.dumps(data)}\n\n"


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    with Speaker() as running:
        yield running


@pytest.fixture
def spoken_to(user: Visitor, speaker: Speaker) -> Iterator[Page]:
    """The chat, with *speaker* as a provider and chosen."""
    told = {"name": "mouth", "provider": "openai_like", "api_key": "k", "model": "m", "base_url": speaker.url("/v1")}
    made = user.ask("POST", "/api/config", **told)
    page = user.open("chat?model=mouth/m")
    expect(page.locator("select").first).to_have_value("mouth/m")
    yield page
    user.ask("DELETE", f"/api/config/{made['id']}")


def answer(page: Page, side: int = 0) -> object:
    return page.locator(".talk").nth(side).locator(".turn:not(.mine)").last


def ask(page: Page, text: str) -> None:
    page.get_by_label("Ask something").fill(text)
    page.keyboard.press("Enter")


def test_a_local_model_answers_in_a_stream(user: Visitor) -> None:
    page = user.open(f"chat?model={MODEL}")
    ask(page, "Name the largest ocean on Earth.")
    expect(page.get_by_text("Name the largest ocean on Earth.")).to_be_visible()
    expect(answer(page).get_by_role("button", name="Answer again")).to_be_visible()
    written = answer(page).locator(".prose").inner_text()
    assert re.search(r"\w+", written)  # The words are sampled, so which they are is open.
    page.reload()
    expect(answer(page).locator(".prose")).to_have_text(written)
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


def test_escape_stops_an_answer_and_what_came_stays(user: Visitor) -> None:
    page = user.open(f"chat?model={MODEL}")
    ask(page, LONG)
    expect(answer(page).locator(".prose")).to_have_text(re.compile(r"\w+ \w+"))
    page.keyboard.press("Escape")
    expect(answer(page)).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.get_by_label("Ask something")).to_be_editable()


def test_shift_enter_makes_a_line(user: Visitor) -> None:
    page = user.open("chat")
    box = page.get_by_label("Ask something")
    box.fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(box).to_have_value("one\ntwo")
    expect(page.locator(".turn")).to_have_count(0)


def test_two_models_answer_side_by_side(spoken_to: Page, speaker: Speaker) -> None:
    page = spoken_to
    speaker.said = "From the mouth."
    page.get_by_role("button", name="Side by side").click()
    page.locator("select").nth(1).select_option(MODEL)
    ask(page, "Say something.")
    expect(answer(page, 0)).to_contain_text("From the mouth.")
    expect(answer(page, 1).locator(".prose")).to_have_text(re.compile(r"\w"))
    expect(page.locator(".turn.mine")).to_have_count(2)


def test_a_picture_goes_along(spoken_to: Page, speaker: Speaker) -> None:
    page = spoken_to
    page.get_by_label("Attach pictures").set_input_files(photograph("coffee"))
    expect(page.locator(".thumb img")).to_be_visible()
    ask(page, "What is this?")
    expect(answer(page)).to_contain_text("Hello.")
    parts = speaker.wait_for_requests()[-1].json["messages"][-1]["content"]
    assert [part["type"] for part in parts] == ["image_url", "text"]
    assert parts[0]["image_url"]["url"].startswith("data:image/png;base64,")
    expect(page.locator(".turn.mine img")).to_be_visible()


def test_what_a_model_says_is_text_and_never_markup(spoken_to: Page, speaker: Speaker) -> None:
    page = spoken_to
    speaker.said = HOSTILE
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ask(page, "Attack.")
    said = answer(page).locator(".said")
    expect(answer(page)).to_contain_text("raw")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    assert page.evaluate("globalThis.hit") is None
    assert said.locator("img, script, svg:not(.icon), iframe, b, i").count() == 0
    links = said.evaluate("(one) => [...one.querySelectorAll('a')].map((link) => link.href)")
    # A picture of another host is shown as a link, since loading it would tell that host.
    assert links == ["https://example.com/leak.png", "https://example.com/"]
    assert [url for url in asked if "example.com" in url] == []
    assert said.locator("[onerror], [onclick], [onload], [style]").count() == 0
    expect(said).to_contain_text('<img src=x onerror="globalThis.hit = 1">')
    expect(said.locator("pre code")).to_contain_text("<iframe srcdoc")
    expect(said.locator("table")).to_have_count(1)


def test_an_error_of_a_provider_is_told_and_can_be_tried_again(
    user: Visitor, spoken_to: Page, speaker: Speaker
) -> None:
    user.expect(502)
    page = spoken_to
    speaker.add_route("POST", "/v1/chat/completions", lambda *_: Reply({"error": {"message": "no"}}, 401))
    ask(page, "Hello?")
    expect(page.get_by_role("alert")).to_be_visible()
    speaker.add_route("POST", "/v1/chat/completions", Speaker.speak)
    page.get_by_role("button", name="Answer again").click()
    expect(answer(page)).to_contain_text("Hello.")
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.slow
def test_a_stream_that_drops_is_shown_and_goes_on(browser: Browser, own_server: LiveServer) -> None:
    own_server.start()
    with visit(browser, own_server.url) as visitor:
        visitor.expect(0)
        page = visitor.log_in().open(f"chat?model={MODEL}")
        ask(page, LONG)
        prose = answer(page).locator(".prose")
        expect(prose).to_have_text(re.compile(r"\w+ \w+"))
        own_server.stop(signal.SIGKILL)
        expect(page.get_by_role("alert")).to_contain_text("broke off")
        before = prose.inner_text()
        ask(page, "Are you there?")
        expect(page.get_by_role("alert").last).to_contain_text("cannot be reached")
        own_server.start()
        page.get_by_role("button", name="Answer again").last.click()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        page.keyboard.press("Escape")
        assert page.locator(".turn:not(.mine) .prose").first.inner_text() == before


@pytest.mark.slow
def test_a_broken_answer_can_be_taken_up(browser: Browser, own_server: LiveServer) -> None:
    own_server.start()
    with visit(browser, own_server.url) as visitor:
        visitor.expect(0)
        page = visitor.log_in().open(f"chat?model={MODEL}")
        ask(page, LONG)
        prose = answer(page).locator(".prose")
        expect(prose).to_have_text(re.compile(r"\w+ \w+"))
        own_server.stop(signal.SIGKILL)
        expect(page.get_by_role("alert")).to_contain_text("What arrived is kept")
        length = len(prose.inner_text())
        own_server.start()
        page.get_by_role("button", name="Go on").click()
        wait_for(lambda: len(prose.inner_text()) > length, what="the answer to go on")
        page.keyboard.press("Escape")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.locator(".turn.mine")).to_have_count(1)
