"""The frame: logging in and out, languages, themes, narrow screens, keyboards, screen readers, and the policy."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Visitor, visit
from tests.live import ADMIN_PASSWORD, LiveServer

PAGES = [
    "chat", "images", "video", "speech", "speech/say", "recognition", "faces", "camera", "datasets", "annotate",
    "training", "models", "jobs", "providers", "keys", "usage", "account",
]  # fmt: skip
# Of each control the name that a screen reader says; of the page its landmarks and first heading.
UNNAMED = """() => [...document.querySelectorAll('input, select, textarea, button, a[href], progress, video, audio')]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.ariaLabel || one.getAttribute('aria-labelledby') || one.labels?.length
    || one.textContent.trim() || one.title || one.querySelector('img[alt]')))
  .map((one) => one.outerHTML.slice(0, 200))"""


def settled(page: Page) -> None:
    """Wait until nothing is loading."""
    expect(page.locator("main .skeleton:not(.placeholder-picture)")).to_have_count(0)


def test_a_wrong_password_is_told_in_words(guest: Visitor) -> None:
    guest.expect(401)
    page = guest.page
    page.goto(guest.url)
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("password")
    expect(page.get_by_role("navigation")).to_have_count(0)


def test_logging_in_and_out(user: Visitor) -> None:
    page = user.page
    expect(page.get_by_text("admin", exact=True)).to_be_visible()
    token = page.evaluate("JSON.parse(localStorage.getItem('polymath.tokens')).token")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert page.evaluate("localStorage.getItem('polymath.tokens')") is None
    answer = user.context.request.get(f"{user.url}/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 401


def test_what_a_page_still_asks_for_is_given_up_before_the_logout(guest: Visitor) -> None:
    page, ended = guest.page, []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.on("requestfinished", lambda request: ended.append(request.url))
    page.route("**/api/models/catalog", lambda route: None)  # It is never answered.
    with page.expect_request("**/api/models/catalog"):
        guest.log_in()
    page.get_by_role("button", name="Log out").dblclick()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_text("Your login has ended")).to_have_count(0)
    assert ended.index(f"{guest.url}/api/models/catalog") < ended.index(f"{guest.url}/api/v1/logout")


def test_an_address_is_returned_to_after_the_login(guest: Visitor) -> None:
    guest.page.goto(f"{guest.url}/#/providers")
    guest.page.get_by_label("Name").fill("admin")
    guest.page.get_by_label("Password").fill(ADMIN_PASSWORD)
    guest.page.keyboard.press("Enter")
    expect(guest.page.get_by_role("heading", name="Providers", exact=True)).to_be_visible()


def test_a_token_that_has_expired_is_renewed_unseen(user: Visitor) -> None:
    user.expect(401)
    page = user.page
    page.evaluate(
        """() => { const pair = JSON.parse(localStorage.getItem('polymath.tokens'));
        localStorage.setItem('polymath.tokens', JSON.stringify({...pair, token: pair.token.slice(0, -3) + 'abc'})); }"""
    )
    user.open("jobs")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    settled(page)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert user.ask("GET", "/api/auth/me")["username"] == "admin"


def test_a_login_that_has_ended_asks_anew_and_returns(user: Visitor) -> None:
    user.expect(401)
    user.open("keys")
    user.ask("POST", "/api/v1/logout")
    user.page.goto(f"{user.url}/#/usage")
    expect(user.page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(user.page.get_by_text("Your login has ended")).to_be_visible()
    user.page.get_by_label("Name").fill("admin")
    user.page.get_by_label("Password").fill(ADMIN_PASSWORD)
    user.page.keyboard.press("Enter")
    expect(user.page.get_by_role("heading", name="Usage")).to_be_visible()


def test_an_open_service_needs_no_login(browser: Browser, open_server: LiveServer) -> None:
    with visit(browser, open_server.url) as visitor:
        page = visitor.page
        page.goto(visitor.url)
        expect(page.get_by_role("navigation")).to_be_visible()
        expect(page.get_by_label("Ask something")).to_be_focused()
        expect(page.get_by_role("link", name="API keys")).to_have_count(0)
        page.get_by_role("link", name="Log in").click()
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password").fill(ADMIN_PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="API keys")).to_be_visible()


@pytest.mark.parametrize("place", PAGES)
def test_every_page_fits_380_pixels_and_can_be_heard(browser: Browser, server: LiveServer, place: str) -> None:
    with visit(browser, server.url, viewport={"width": 380, "height": 780}, color_scheme="dark") as visitor:
        page = visitor.log_in().page
        visitor.open(place)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        assert page.evaluate(UNNAMED) == []
        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1
        assert page.evaluate("document.documentElement.lang") == "en"


def test_the_list_of_pages_opens_as_a_drawer(browser: Browser, server: LiveServer) -> None:
    with visit(browser, server.url, viewport={"width": 380, "height": 780}) as visitor:
        page = visitor.log_in().page
        toggle = page.get_by_role("button", name="Show the pages")
        toggle.click()
        chat = page.get_by_role("link", name="Chat")
        expect(chat).to_be_focused()
        page.locator("main textarea").first.focus()  # As a page does that is drawn late.
        expect(chat).to_be_focused()
        page.keyboard.press("Escape")
        expect(toggle).to_be_focused()
        expect(page.get_by_role("link", name="Images")).not_to_be_visible()
        toggle.click()
        page.get_by_role("link", name="Images").click()
        expect(page.get_by_role("heading", name="Images")).to_be_focused()
        toggle.click()
        page.set_viewport_size({"width": 1200, "height": 780})  # A tablet that is turned.
        words = page.locator("main textarea").first
        words.click(timeout=10_000)
        expect(words).to_be_focused()


@pytest.mark.parametrize("place", PAGES)
def test_every_page_speaks_chinese(browser: Browser, server: LiveServer, place: str) -> None:
    with visit(browser, server.url, locale="zh-CN") as visitor:
        page = visitor.page
        page.goto(visitor.url)
        page.get_by_label("用户名").fill("admin")
        page.get_by_label("密码").fill(ADMIN_PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("navigation").wait_for()
        visitor.open(place)
        settled(page)
        assert page.evaluate("document.documentElement.lang") == "zh-CN"
        assert re.search(r"[\u4e00-\u9fff]", page.title())
        # A key that has no words shows itself.
        assert re.findall(r"\b[a-z]+\.[a-z]+_[a-z_]+\b", page.locator("main").inner_text()) == []


def test_errors_are_told_in_the_chosen_language(browser: Browser, server: LiveServer) -> None:
    with visit(browser, server.url) as visitor:
        visitor.expect(401)
        page = visitor.page
        page.goto(visitor.url)
        page.get_by_role("button", name="中文").click()
        page.get_by_label("用户名").fill("admin")
        page.get_by_label("密码").fill("wrong")
        page.get_by_role("button", name="登录").click()
        expect(page.get_by_role("alert")).to_contain_text(re.compile(r"[\u4e00-\u9fff]"))
        page.reload()
        expect(page.get_by_role("heading", name="登录")).to_be_visible()


def test_the_theme_is_kept(user: Visitor) -> None:
    page = user.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.get_by_role("navigation").wait_for()
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("button", name="Light")).to_be_visible()


def test_what_was_chosen_goes_before_the_systems_theme(browser: Browser, server: LiveServer) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with visit(browser, server.url) as light, visit(browser, server.url, color_scheme="dark") as dark:
        pages = [visitor.log_in().page for visitor in (light, dark)]
        by_system = [page.evaluate(ground) for page in pages]
        assert by_system[0] != by_system[1]
        pages[0].get_by_role("button", name="Dark").click()
        pages[1].get_by_role("button", name="Light").click()
        assert [page.evaluate(ground) for page in pages] == by_system[::-1]


def test_the_first_tab_skips_to_the_page(user: Visitor) -> None:
    page = user.open("jobs")
    page.reload()
    page.get_by_role("navigation").wait_for()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the page")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/jobs")


def test_focus_can_be_seen(user: Visitor) -> None:
    page = user.open("keys")
    page.get_by_role("link", name="Providers").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_policy_refuses_what_the_console_never_does(user: Visitor) -> None:
    page = user.page
    refused = page.evaluate(
        """() => { const element = document.createElement('div'); document.body.append(element);
        const tries = [() => { element.innerHTML = '<b>x</b>'; }, () => { element.setAttribute('onclick', 'hit = 1'); },
          () => { document.createElement('script').src = 'https://example.com/x.js'; }];
        const throws = (one) => { try { one(); return false; } catch (error) { return error instanceof TypeError; } };
        return tries.filter(throws).length; }"""
    )
    assert refused == 3
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    page.evaluate("fetch('https://example.com/').catch(() => {})")
    page.evaluate(
        "new Promise((done) => { const one = new Image(); one.onerror = done; one.src = 'https://example.com/'; })"
    )
    page.wait_for_function("true")
    for directive in ("require-trusted-types-for", "style-src", "connect-src", "img-src"):
        assert any(directive in one for one in user.complaints), directive
    user.complaints.clear()
