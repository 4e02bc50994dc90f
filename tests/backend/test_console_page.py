"""The console's files: who gets the page, under which policy, how long it is kept, and words in both languages."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.console_page import CONSOLE_DIR, version_of_files

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
# A key of words in the code: `t("a.b")`, `tOr("a.b"`, and either side of a condition inside `t(…)`.
CALL = re.compile(r"\bt(?:Or)?\(((?:[^()\"`]|\"[^\"]*\"|`[^`]*`)*)")
KEY = re.compile(r"\"([a-z]+\.[A-Za-z0-9_.-]+)\"")
WORDS = re.compile(r"\"([a-z]+\.[A-Za-z0-9_.-]+)\": \"((?:[^\"\\]|\\.)*)\"")


def words(language: str) -> dict[str, str]:
    return dict(WORDS.findall((CONSOLE_DIR / "i18n" / f"{language}.js").read_text(encoding="utf-8")))


def scripts() -> dict[str, str]:
    """Every script of the console but the words."""
    found = [path for path in CONSOLE_DIR.rglob("*.js") if path.parent.name != "i18n"]
    return {str(path.relative_to(CONSOLE_DIR)): path.read_text(encoding="utf-8") for path in found}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BROWSER, "text/html"),
        ("text/html", "text/html"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("", "application/json"),
        (None, "application/json"),
        ("image/png", "application/json"),
        ("not a header;;;", "application/json"),
    ],
)
def test_a_browser_gets_the_page_and_others_the_health_check(
    client: FlaskClient, accept: str | None, kind: str
) -> None:
    answer = client.get("/", headers={} if accept is None else {"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, kind)
    assert "Accept" in answer.headers["Vary"]


def test_the_page_runs_its_own_files_and_nothing_else(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Accept": BROWSER})
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Permissions-Policy"].startswith("camera=(self), microphone=(self)")
    page = answer.text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=|<style|https?:", page)
    assert "{{" not in page


def test_each_file_that_the_page_names_is_there_and_kept_for_good(client: FlaskClient) -> None:
    page = client.get("/", headers={"Accept": BROWSER}).text
    named = re.findall(r"(?:src|href)=\"(/console/[^\"]+)\"", page)
    assert len(named) > 10
    for path in named:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304


def test_a_version_that_is_gone_is_not_kept(client: FlaskClient) -> None:
    answer = client.get("/console/000000000000/main.js")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert answer.mimetype == "text/javascript"


def test_the_page_is_asked_for_anew_and_answered_shortly(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Accept": BROWSER})
    assert answer.headers["Cache-Control"] == "no-cache"
    again = client.get("/", headers={"Accept": BROWSER, "If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "shared/../../app.py", "nothing.js", "shared"],
)
def test_nothing_outside_is_served(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/console/{version_of_files()}/{name}")
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["error"]["code"] == "NOT_FOUND"


def test_both_languages_have_the_same_words() -> None:
    english, chinese = words("en"), words("zh")
    assert len(english) > 300
    assert list(english) == list(chinese)
    assert [key for key in english if not english[key] or not chinese[key]] == []


def test_what_is_filled_into_words_is_the_same_in_both_languages() -> None:
    english, chinese = words("en"), words("zh")
    braces = {key: [set(re.findall(r"\{(\w+)\}", each[key])) for each in (english, chinese)] for key in english}
    assert {key: names for key, names in braces.items() if names[0] != names[1]} == {}


def test_every_word_that_the_pages_ask_for_exists() -> None:
    known = words("en")
    asked = {
        (name, key) for name, text in scripts().items() for call in CALL.findall(text) for key in KEY.findall(call)
    }
    assert len(asked) > 200
    assert [(name, key) for name, key in sorted(asked) if key not in known] == []


def test_no_script_makes_markup_of_text() -> None:
    made = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser")
    assert [name for name, text in scripts().items() if made.search(text)] == []


def test_no_file_names_another_host() -> None:
    named = {name: re.findall(r"https?://[a-z][\w.-]+", text) for name, text in scripts().items()}
    assert {name: hosts for name, hosts in named.items() if hosts and name != "shared/dom.js"} == {}
    styles = [path.read_text(encoding="utf-8") for path in Path(CONSOLE_DIR / "style").glob("*.css")]
    assert [text for text in styles if "@import" in text or "url(" in text] == []
