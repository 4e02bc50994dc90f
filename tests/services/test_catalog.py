"""From a name to who answers, and what the catalog file may say."""

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.catalog import MANIFEST, Catalog, Route
from services.contracts.models import CatalogRow, Manifest, Source
from services.engines.base import all_engines
from services.errors import NotFound, Unavailable
from services.providers import find_provider
from services.settings import ROOT, Settings

STARTER = [
    "smollm2-135m-instruct",
    "whisper-base",
    "piper-en-us-joe",
    "efficientnet-lite0",
    "dlib-faces",
    "all-minilm-l6-v2",
]
CHAT = "smollm2-135m-instruct"


@pytest.fixture
def catalog(settings: Settings) -> Catalog:
    return Catalog(settings)


@pytest.fixture
def install(settings: Settings, catalog: Catalog) -> Callable[..., None]:
    """Let a model be installed, as far as the catalog sees."""

    def put(name: str, at: str = "2026-11-21T06:00:00Z", to: Catalog = catalog) -> None:
        folder = to.folder(to.find(name))
        folder.mkdir(parents=True)
        manifest = Manifest(model=name, source="s", revision="r", licence="l", installed_at=at, files={})
        (folder / MANIFEST).write_text(manifest.model_dump_json())

    return put


def with_settings(catalog: Catalog, **changes: Any) -> Catalog:
    return Catalog(catalog._settings.model_copy(update=changes))


def local(name: str, **changes: Any) -> CatalogRow:
    return CatalogRow(id=name, name=name, abilities=["chat"], licence="own", engine="llama_cpp", **changes)


# The file


def test_system_4s_models_come_first(catalog: Catalog) -> None:
    names = ["qwen-turbo", "qwen-plus", "qwen-max", "qwen-max-longcontext"]
    first = catalog.rows("chat")[:4]
    assert [row.id for row in first] == names
    assert [row.retired for row in first] == [False, False, False, True]
    assert {row.provider_label for row in first} == {"Alibaba"}
    assert first[0].max_tokens == 6000


def test_the_starter_set(catalog: Catalog) -> None:
    rows = [row for row in catalog.rows() if row.starter]
    assert [row.id for row in rows] == STARTER
    for row in rows:
        assert all(package.size_bytes for source in row.sources for package in source.packages)
        assert all(file.sha256 for source in row.sources for file in source.files)


def test_every_remote_row_has_its_provider(catalog: Catalog) -> None:
    assert [row.id for row in catalog.rows() if not row.local and find_provider(row.provider) is None] == []


def test_every_chat_row_has_its_engine(catalog: Catalog) -> None:
    assert [row.id for row in catalog.rows("chat") if row.local and row.engine not in all_engines()] == []


def test_every_local_row_can_be_pulled(catalog: Catalog) -> None:
    assert [row.id for row in catalog.rows() if row.local and not row.sources] == []


def test_two_models_of_one_name_are_refused(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    row = 'name = "x"\nabilities = ["chat"]\nlicence = "x"\nprovider = "demo"\n'
    file.write_text(f'[one]\n{row}\n[two]\n{row}aliases = ["one"]\n')
    with pytest.raises(ValueError, match="two models are called one"):
        Catalog(settings, file=file).find("one")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../x"},
        {"id": "a/b"},
        {"id": ""},
        {"engine": "x"},
        {"provider": "local"},
        {"sources": [{"hub": "a/b"}]},
        {"surprise": 1},
    ],
)
def test_rows_that_make_no_sense(changes: dict[str, Any]) -> None:
    good = {"id": "x", "name": "x", "abilities": ["chat"], "licence": "x", "provider": "demo"}
    CatalogRow.model_validate(good)
    with pytest.raises(ValidationError):
        CatalogRow.model_validate(good | changes)


PACKAGE = {"requirement": "a==1", "sha256": "0" * 64}


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"hub": "a/b", "packages": [PACKAGE]},
        {"hub": "../../x"},
        {"hub": "a/b", "revision": "../x"},
        {"hub": "a/b", "files": [{"name": "model.bin"}]},
        {"hub": "a/b", "files": [{"name": "../x.json"}]},
        {"packages": [PACKAGE]},
        {"packages": [PACKAGE], "files": [{"name": "a", "parts": ["a"]}]},
        {"packages": [PACKAGE | {"requirement": "a --index-url x"}], "files": []},
        {"packages": [PACKAGE | {"sha256": "short"}], "files": []},
    ],
)
def test_sources_that_make_no_sense(source: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Source.model_validate(source)


def test_formats_that_run_code_need_a_checksum() -> None:
    pinned = {"hub": "a/b", "files": [{"name": "model.bin", "sha256": "0" * 64}]}
    assert Source.model_validate(pinned).files[0].name == "model.bin"


def test_the_readmes_row_is_one() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for name, table in tomllib.loads(example).items():
        assert CatalogRow.model_validate({"id": name, **table}).sources


# From a name to a route


@pytest.mark.parametrize(
    ("name", "provider", "upstream"),
    [
        ("qwen-turbo", "dashscope", "qwen-turbo"),
        ("demo", "demo", "demo"),
        ("dashscope/qwen-plus", "dashscope", "qwen-plus"),
        ("qwen/anything-new", "dashscope", "anything-new"),
        ("ark/ep-2024", "ark", "ep-2024"),
        ("doubao/ep-2024", "ark", "ep-2024"),
        ("openai/org/model", "openai", "org/model"),
        ("anthropic/claude-x", "anthropic", "claude-x"),
        ("demo/anything", "demo", "anything"),
        ("qwen9-ultra", "dashscope", "qwen9-ultra"),
        ("qwq-32b", "dashscope", "qwq-32b"),
        ("qvq-72b", "dashscope", "qvq-72b"),
        ("doubao-seed-9", "ark", "doubao-seed-9"),
        ("ep-20240101", "ark", "ep-20240101"),
        ("gpt-9", "openai", "gpt-9"),
        ("o3-mini", "openai", "o3-mini"),
        ("o4-mini", "openai", "o4-mini"),
        ("chatgpt-4o-latest", "openai", "chatgpt-4o-latest"),
        ("claude-3-opus-20240229", "anthropic", "claude-3-opus-20240229"),
    ],
)
def test_names_of_remote_models(catalog: Catalog, name: str, provider: str, upstream: str) -> None:
    route = catalog.resolve(name, "chat")
    assert (route.name, route.provider, route.upstream_model) == (name, provider, upstream)


def test_flags_go_with_the_model_at_every_door(catalog: Catalog) -> None:
    flags = catalog.find("qwq-plus").flags
    assert flags.thinking == "only" and flags.stream_only
    assert catalog.resolve("dashscope/qwq-plus", "chat").flags == flags
    assert catalog.resolve("openai/qwq-plus", "chat").flags != flags


@pytest.mark.parametrize(
    "name",
    [
        "nobody-has-this",
        "../../etc/passwd",
        "..",
        "/etc/passwd",
        "models/../x",
        "local/",
        "local/nobody",
        "local/qwen-turbo",
        "local/../smollm2-135m-instruct",
        "nobody/model",
        "qwen/",
        "gpt-4/../x",
        "x" * 300,
        "a\0b",
        "a\r\nX-Header: 1",
        "{name}",
        "whisper-base",
        "models/",
        "models/nobody",
        f"models/x/../{CHAT}",
        f"../models/{CHAT}",
        f"/etc/models/{CHAT}",
        f"models//{CHAT}",
    ],
)
def test_names_that_nobody_has(catalog: Catalog, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        catalog.resolve(name, "chat")
    assert caught.value.details == {"reason": "model_not_found"}
    assert len(caught.value.say("en")) < 400 and "\r" not in caught.value.say("zh")


@pytest.mark.parametrize("name", [CHAT, f"local/{CHAT}", f"models/{CHAT}"])
def test_a_model_that_is_not_installed(catalog: Catalog, name: str) -> None:
    with pytest.raises(Unavailable) as caught:
        catalog.resolve(name, "chat")
    assert caught.value.details == {
        "reason": "model_not_installed",
        "model": CHAT,
        "command": f"flask models pull {CHAT}",
    }
    assert f"flask models pull {CHAT}" in caught.value.say("en") and f"flask models pull {CHAT}" in caught.value.say(
        "zh"
    )


@pytest.mark.parametrize("name", [CHAT, f"local/{CHAT}", f"models/{CHAT}", f"/models/{CHAT}", f"./models/{CHAT}/"])
def test_a_model_that_is(catalog: Catalog, install: Callable[..., None], name: str) -> None:
    install(CHAT)
    assert catalog.resolve(name, "chat") == Route(CHAT, "local", CHAT, catalog.find(CHAT).flags, catalog.find(CHAT))


def test_what_was_made_here_is_known_by_its_folder(settings: Settings) -> None:
    mine = local("mine", folder="trained/mine/final", aliases=["ft:smollm2:me::1"])
    catalog = Catalog(settings, more_rows=lambda: [mine])
    with pytest.raises(Unavailable):
        catalog.resolve("mine", "chat")
    (settings.models_dir / "trained/mine/final").mkdir(parents=True)
    assert catalog.resolve("ft:smollm2:me::1", "chat").name == "mine"
    assert catalog.rows()[-1] is mine


# Nothing named


def test_nothing_named_and_nothing_there(catalog: Catalog) -> None:
    with pytest.raises(Unavailable) as caught:
        catalog.resolve(None, "chat")
    assert caught.value.details == {"reason": "no_model", "command": f"flask models pull {CHAT}"}


def test_the_command_brings_a_model_that_can_do_it(catalog: Catalog) -> None:
    with pytest.raises(Unavailable) as caught:
        catalog.resolve(None, "object-detection")
    wanted = caught.value.details["command"].rpartition(" ")[2]
    assert "object-detection" in catalog.find(wanted).abilities


def test_the_setting_comes_first(catalog: Catalog, install: Callable[..., None]) -> None:
    install(CHAT)
    assert with_settings(catalog, default_chat_model="demo").resolve("", "chat").provider == "demo"
    chosen = with_settings(catalog, default_models="text-to-image=demo, speech = espeak-en")
    assert chosen.resolve(None, "text-to-image").provider == "demo"
    assert chosen.resolve(None, "chat").name == CHAT
    with pytest.raises(ValueError, match="there are no abilities"):
        with_settings(catalog, default_models="painting=demo")


def test_then_the_newest_installed(settings: Settings, install: Callable[..., None]) -> None:
    mine = local("mine", folder="trained/mine")
    catalog = Catalog(settings, more_rows=lambda: [mine])
    install(CHAT, at="2026-11-21T06:00:00Z")
    folder = settings.models_dir / "trained/mine"
    folder.mkdir(parents=True)
    assert catalog.resolve(None, "chat").name == "mine"
    os.utime(folder, (0, 0))
    assert catalog.resolve(None, "chat").name == CHAT


def test_an_installed_model_comes_before_a_key(catalog: Catalog, install: Callable[..., None]) -> None:
    install(CHAT)
    assert with_settings(catalog, openai_api_key="sk-x").resolve(None, "chat").name == CHAT


@pytest.mark.parametrize(
    ("key", "provider"),
    [
        ("dashscope_api_key", "dashscope"),
        ("doubao_api_key", "ark"),
        ("openai_api_key", "openai"),
        ("anthropic_api_key", "anthropic"),
    ],
)
def test_then_the_first_provider_with_a_key(catalog: Catalog, key: str, provider: str) -> None:
    route = with_settings(catalog, **{key: "sk-x"}).resolve(None, "chat")
    assert route.provider == provider
    assert route.row and not route.row.retired


def test_installed_for_one_ability_is_not_for_another(catalog: Catalog, install: Callable[..., None]) -> None:
    install("whisper-base")
    assert catalog.resolve(None, "transcription").name == "whisper-base"
    with pytest.raises(Unavailable):
        catalog.resolve(None, "chat")


@pytest.mark.parametrize(("name", "available"), [("demo", True), (CHAT, False), ("qwen-turbo", False)])
def test_available(catalog: Catalog, name: str, available: bool) -> None:
    assert catalog.available(catalog.find(name)) is available


def test_available_with_a_key_or_weights(catalog: Catalog, install: Callable[..., None]) -> None:
    install(CHAT)
    with_key = with_settings(catalog, dashscope_api_key="sk-x")
    assert with_key.available(catalog.find("qwen-turbo")) and with_key.available(catalog.find(CHAT))
