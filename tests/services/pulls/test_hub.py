"""Pulling from a hub: whole, resumed, lied to, refused."""

import hashlib
import threading
from typing import Any

import pytest

from services.compute.progress import Job
from services.errors import Cancelled, Conflict, Unavailable
from services.pulls.hub import choose
from tests.fakes.connection import Reply
from tests.fakes.hub import COMMIT, PIECE_BYTES, HubFake
from tests.services.pulls.conftest import Installation, LocalRow

TINY = {"hub": "maker/tiny"}
WEIGHTS = "model.safetensors"


class Watcher(Job):
    """Hears progress; ends the work after some of it."""

    def __init__(self, end_at: float = 2) -> None:
        self.heard: list[float] = []
        self.end_at = end_at

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.heard.append(fraction)
        if fraction >= self.end_at:
            raise Cancelled()


def ranges(hub: HubFake) -> list[str | None]:
    return [request.headers.get("range") for request in hub.requests_to(f"/{WEIGHTS}")]


def test_a_repository_is_installed(here: Installation, hub: HubFake, row: LocalRow) -> None:
    watcher = Watcher()
    manifest = here.pull(row(TINY), watcher)
    folder = here.settings.models_dir / "tiny"
    assert {name: (folder / name).read_bytes() for name in hub.files} == hub.files
    assert manifest.revision == COMMIT
    assert manifest.files[WEIGHTS].sha256 == hashlib.sha256(hub.files[WEIGHTS]).hexdigest()
    assert watcher.heard == sorted(watcher.heard) and 0 < watcher.heard[-1] <= 1
    assert here.visible == ["tiny"]


def test_files_come_from_one_commit(here: Installation, hub: HubFake, row: LocalRow) -> None:
    here.pull(row(TINY | {"revision": "v1"}))
    listing, *files = [request.path for request in hub.requests]
    assert listing == "/api/models/maker/tiny/revision/v1"
    assert all(path.startswith(f"/maker/tiny/resolve/{COMMIT}/") for path in files)


def test_a_cut_connection_goes_on_where_it_stopped(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.files = {WEIGHTS: hub.files[WEIGHTS]}
    hub.cuts = [100_000, 200_000, 50_000, 60_000, 70_000]
    here.pull(row(TINY))
    begun = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in ranges(hub)[1:] if asked]
    assert len(begun) == 5 and begun == sorted(set(begun)) and begun[0] > 0


def test_an_interrupted_pull_goes_on(here: Installation, hub: HubFake, row: LocalRow) -> None:
    with pytest.raises(Cancelled):
        here.pull(row(TINY), Watcher(end_at=0.9))
    assert here.visible == [".pull-tiny"]
    here.pull(row(TINY))
    assert here.visible == ["tiny"]
    assert len(hub.requests_to("/config.json")) == 1


@pytest.mark.parametrize("whim", ["ignores_ranges", "wrong_start"])
def test_a_hub_without_proper_ranges(here: Installation, hub: HubFake, row: LocalRow, whim: str) -> None:
    hub.cuts = [10, 300_000]
    setattr(hub, whim, True)
    here.pull(row(TINY))
    assert (here.settings.models_dir / "tiny" / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


def test_a_rotten_part_is_fetched_anew(here: Installation, hub: HubFake, row: LocalRow) -> None:
    with pytest.raises(Cancelled):
        here.pull(row(TINY), Watcher(end_at=0.5))
    part = here.settings.models_dir / ".pull-tiny" / f"{WEIGHTS}.part"
    part.write_bytes(b"\xff" * len(hub.files[WEIGHTS]))
    here.pull(row(TINY))
    assert (here.settings.models_dir / "tiny" / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_file_that_is_not_what_the_hub_promises(here: Installation, hub: HubFake, row: LocalRow, name: str) -> None:
    hub.sent[name] = bytes(len(hub.files[name]))
    with pytest.raises(Unavailable) as caught:
        here.pull(row(TINY))
    assert caught.value.details == {"reason": "checksum", "file": name}
    assert not here.catalog.installed(row(TINY))
    hub.sent.clear()
    here.pull(row(TINY))


def test_a_pinned_checksum_counts_and_not_the_hubs(here: Installation, row: LocalRow) -> None:
    pinned = TINY | {"files": [{"name": WEIGHTS, "sha256": "0" * 64}]}
    with pytest.raises(Unavailable) as caught:
        here.pull(row(pinned))
    assert caught.value.details["reason"] == "checksum"


def test_a_connection_that_never_holds(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.cuts = [0] * 20
    with pytest.raises(Unavailable) as caught:
        here.pull(row(TINY))
    assert caught.value.details["reason"] == "connection"


def test_a_gated_model_wants_a_token(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.token = "hf-secret"
    with pytest.raises(Unavailable, match="HUB_TOKEN"):
        here.pull(row(TINY))
    here.settings = here.settings.model_copy(update={"hub_token": "hf-secret"})
    here.pull(row(TINY))


def test_pickles_are_never_fetched(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.files |= {"pytorch_model.bin": b"pickle", "modeling.py": b"import os", "x.pt": b"pickle"}
    assert set(here.pull(row(TINY)).files) == {"config.json", WEIGHTS}
    hub.files = {"pytorch_model.bin": b"pickle", "config.json": b"{}"}
    with pytest.raises(Unavailable, match="no safetensors"):
        here.pull(row(TINY, name="other"))


def test_of_several_gguf_files_the_row_names_one(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.files = {"m.Q4_K_M.gguf": b"four", "m.Q8_0.gguf": b"eight"}
    with pytest.raises(Unavailable, match="several GGUF"):
        here.pull(row(TINY))
    assert set(here.pull(row(TINY | {"files": [{"name": "m.Q8_0.gguf"}]})).files) == {"m.Q8_0.gguf"}


def test_a_gguf_in_pieces_is_one_model(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.files = {"m-00001-of-00002.gguf": b"one", "m-00002-of-00002.gguf": b"two"}
    assert set(here.pull(row(TINY)).files) == hub.files.keys()


@pytest.mark.parametrize("name", ["../../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\b.json", "a\nb.json"])
def test_a_name_that_climbs_is_passed_over(here: Installation, hub: HubFake, row: LocalRow, name: str) -> None:
    hub.files[name] = b"evil"
    assert set(here.pull(row(TINY)).files) == {"config.json", WEIGHTS}
    assert not list(here.settings.models_dir.parent.rglob("evil*"))


def test_names_are_sent_as_the_path_they_are(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.files["a b/50%?#.json"] = b"{}"
    assert "a b/50%?#.json" in here.pull(row(TINY)).files


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"siblings": 3}', b'{"sha": "x"}'])
def test_a_list_that_is_none(here: Installation, hub: HubFake, row: LocalRow, body: bytes) -> None:
    hub.add_route("GET", "/api/models/.*", lambda *_: Reply(body))
    with pytest.raises(Unavailable, match="cannot be read"):
        here.pull(row(TINY))
    assert here.visible == []


def test_two_pulls_at_once(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.hold_after = PIECE_BYTES
    first = threading.Thread(target=here.pull, args=(row(TINY),))
    first.start()
    hub.wait_for_requests(3)
    with pytest.raises(Conflict):
        here.pull(row(TINY))
    hub.release.set()
    first.join(10)
    assert here.pull(row(TINY)).files.keys() == hub.files.keys()
    assert len(ranges(hub)) == 1


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["model.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
        (["model.fp16.safetensors"], ["model.fp16.safetensors"]),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
        (
            ["model_index.json", "v1.safetensors", "unet/x.safetensors", "unet/x.non_ema.safetensors"],
            ["model_index.json", "unet/x.safetensors"],
        ),
        ([".gitattributes", ".cache/x.json", "polymath.json", "a.gguf"], ["a.gguf"]),
    ],
)
def test_of_the_same_weights_one_form_is_wanted(names: list[str], wanted: list[str]) -> None:
    assert choose(names) == wanted
