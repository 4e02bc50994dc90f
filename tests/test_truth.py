"""What the documents say is what the code does."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import cast

import click
import pytest
from flask import Flask

from backend import postman
from backend.commands import documents
from backend.commands.settings import descriptions, environment_name, example, show
from backend.document import build, readable
from services import VERSION
from services.settings import Settings
from tests.source import ROOT

READMES = ["README.md", "README.zh-CN.md"]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a document in one language."""
    return [found["code"] for found in FENCE.finditer(text_of(name)) if found["language"] == language]


def without_comments(code: str) -> str:
    return re.sub(r"(?m)\s*# .*$", "", code)


# Settings


def test_the_example_of_settings_is_the_settings() -> None:
    assert text_of(".env.example") == example(), "run `make docs`"


def test_every_setting_says_what_it_is() -> None:
    assert set(Settings.model_fields) - set(descriptions()) == set()


def test_the_example_shows_defaults_that_are_taken(tmp_path: Path) -> None:
    """With every line of the example in force, the settings are the defaults, but for folders named from here."""
    lines = [line.removeprefix("#") for line in example().splitlines() if re.match(r"#[A-Z_]+=", line)]
    assert len(lines) == len(Settings.model_fields)
    (tmp_path / ".env").write_text("\n".join(lines))
    taken, defaults = Settings(_env_file=tmp_path / ".env").model_dump(), Settings(_env_file=None).model_dump()
    folders = {name for name, value in defaults.items() if isinstance(value, Path)}
    assert {name: value for name, value in taken.items() if name not in folders} == {
        name: value for name, value in defaults.items() if name not in folders
    }


@pytest.mark.parametrize("readme", READMES)
def test_settings_in_the_readme_exist(readme: str) -> None:
    told = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", without_code(readme)))
    assert told - set(defaults()) == set()


@pytest.mark.parametrize("readme", READMES)
def test_defaults_in_the_readme_are_the_defaults(readme: str) -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\|", text_of(readme), re.MULTILINE))
    assert len(told) > 10
    assert told == {name: defaults()[name] for name in told}


@pytest.mark.parametrize(
    ("readme", "row", "units"),
    [
        ("README.md", r"(?P<count>\d+) an? (?P<unit>\w+)", {"minute": "minute", "hour": "hour"}),
        ("README.zh-CN.md", r"每(?P<unit>分钟|小时) (?P<count>\d+) 次", {"分钟": "minute", "小时": "hour"}),
    ],
)
def test_limits_in_the_readme_are_the_defaults(readme: str, row: str, units: dict[str, str]) -> None:
    found = re.finditer(rf"^\| .* \| {row} \| `(?P<name>RATE_LIMIT_\w+)` \|", text_of(readme), re.MULTILINE)
    told = {match["name"]: f"{match['count']}/{units[match['unit']]}" for match in found}
    assert told == {name: value for name, value in defaults().items() if name.startswith("RATE_LIMIT_")}


def defaults() -> dict[str, str]:
    """Every setting by its environment variable, as `.env.example` shows it."""
    return {environment_name(name, field): show(field.default) for name, field in Settings.model_fields.items()}


# Routes


def test_the_route_table_is_the_routes(app: Flask) -> None:
    assert documents.rows(text_of("README.md")) == documents.routes(app), "run `make docs`"


def test_the_translated_route_table_has_the_routes(app: Flask) -> None:
    translated = documents.rows(text_of("README.zh-CN.md"))
    assert list(translated) == list(documents.routes(app)), "run `make docs` and translate what is new"
    assert [route for route, what in translated.items() if not re.search(r"[\u4e00-\u9fff]", what)] == []


def test_every_route_says_what_it_does(app: Flask) -> None:
    silent = [route for route, what in documents.routes(app).items() if len(what.split()) < 2]
    assert silent == []


def test_the_table_reads_rules_as_people_write_them() -> None:
    assert readable("/api/keys/<string:key_id>/<path:rest>/<name>") == "/api/keys/{key_id}/{rest}/{name}"


# Documents


def test_the_postman_collection_is_the_openapi_document(app: Flask) -> None:
    told = postman.files(build(app))
    assert {name: text_of(f"docs/{name}") for name in told} == told, "run `make docs`"


def test_both_readmes_show_the_same_code() -> None:
    """Comments and drawings are translated, code is not."""
    english, chinese = (
        [without_comments(found["code"]) for found in FENCE.finditer(text_of(name)) if found["language"] != "text"]
        for name in READMES
    )
    assert english == chinese


def test_both_readmes_have_the_same_chapters() -> None:
    english, chinese = (re.findall(r"^#+ ", without_code(name), re.MULTILINE) for name in READMES)
    assert english == chinese


def without_code(name: str) -> str:
    return FENCE.sub("", text_of(name))


@pytest.mark.parametrize("readme", READMES)
def test_files_that_the_readme_links_exist(readme: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text_of(readme))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("readme", READMES)
def test_make_targets_in_the_readme_exist(readme: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    told = set(re.findall(r"(?:^|`)make ([a-z-]+)", text_of(readme), re.MULTILINE))
    assert {"serve", "test"} <= told <= targets


def test_commands_in_the_readme_are_understood(app: Flask) -> None:
    """Each line is parsed by the command itself, which complains of unknown options and missing words."""
    lines = [line for code in blocks("README.md", "bash") for line in code.splitlines() if "bin/flask" in line]
    assert lines
    for line in lines:
        _flask, group, name, *words = shlex.split(line, comments=True)
        command = cast("click.Group", app.cli.commands[group]).commands[name]
        command.make_context(name, words)


@pytest.mark.parametrize("readme", READMES)
def test_json_in_curl_lines_is_json(readme: str) -> None:
    bodies = [body for code in blocks(readme, "bash") for body in re.findall(r"-d '(.*?)'", code, re.DOTALL)]
    assert bodies
    for body in bodies:
        json.loads(body)


@pytest.mark.parametrize("readme", READMES)
def test_python_in_the_readme_compiles(readme: str) -> None:
    found = blocks(readme, "python")
    assert found
    for number, code in enumerate(found):
        compile(code, f"{readme}, block {number}", "exec")


def test_the_changelog_tells_this_version() -> None:
    assert re.search(rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", text_of("CHANGELOG.md"), re.MULTILINE)


# Licences


def test_every_requirement_has_its_licence_told() -> None:
    notes = text_of("docs/licences.md").lower()
    wanted = re.findall(
        r"^([A-Za-z][\w-]*)", text_of("requirements.txt") + text_of("requirements-dev.txt"), re.MULTILINE
    )
    assert [name for name in wanted if f"| {name.lower()} |" not in notes] == []


def test_every_requirement_is_pinned() -> None:
    lines = (text_of("requirements.txt") + text_of("requirements-dev.txt")).splitlines()
    wanted = [line for line in lines if re.match(r"[A-Za-z]", line)]
    assert [line for line in wanted if not re.match(r"[\w-]+(\[\w+\])?==[\w.]+(\s|$)", line)] == []


def test_every_model_has_a_licence() -> None:
    rows = tomllib.loads(text_of("models/catalog.toml"))
    assert rows
    assert [name for name, row in rows.items() if not row.get("licence")] == []


def test_licences_of_starter_models_are_told() -> None:
    told = dict(re.findall(r"^\| `(.+?)` \| (.+?) \|", text_of("docs/licences.md"), re.MULTILINE))
    rows = tomllib.loads(text_of("models/catalog.toml"))
    wanted = {name: row["licence"] for name, row in rows.items() if row.get("starter")}
    assert {name: told.get(name) for name in wanted} == wanted
