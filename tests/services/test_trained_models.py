"""Models that were made here: listed, found by each of their names, and gone with their files; over both databases."""

from pathlib import Path
from typing import Any

import pytest

from services import routes
from services.assemble import Services
from services.contracts.training import NewModel
from services.database import Database
from services.domains import models
from services.errors import Invalid, Malformed, NotFound
from services.settings import Settings
from services.tables.models import TrainedModelTable
from services.trained_models import TrainedModelStore, as_catalog_row, card

LIN, MO = "user-1", "user-2"


@pytest.fixture
def store(database: Database, settings: Settings) -> TrainedModelStore:
    return TrainedModelStore(database, settings)


def add(store: TrainedModelStore, name: str = "sample", owner: str = LIN, **changes: Any) -> TrainedModelTable:
    path, location = store.place(owner, "models/checkpoints", name)
    final = store._settings.models_dir / location / "final"
    final.mkdir()
    (final / "adapter_model.safetensors").write_bytes(b"12345")
    facts: dict[str, Any] = {
        "kind": "lora",
        "job_id": f"job-{owner}-{location}",
        "engine": "llama_cpp",
        "abilities": ["chat"],
        "base_model": "smollm2-135m-instruct",
        "adapter": True,
        "metrics": {"val_loss": 2.12},
    }
    new = {"owner": owner, "name": name, "path": f"{path}/final", "location": f"{location}/final", **facts, **changes}
    return store.add(NewModel(**new))


def test_each_of_its_names_finds_it(store: TrainedModelStore) -> None:
    made = add(store)
    names = [made.id, made.openai_name, "sample", "models/checkpoints/sample/final", "/models/checkpoints/sample"]
    assert [store.find(name, owner=LIN).id for name in names] == [made.id] * 5
    assert made.openai_name == f"ft:smollm2-135m-instruct:{LIN}:sample:{made.id[-8:]}"
    assert made.size_bytes == 5


def test_two_of_one_name_are_the_newest_but_for_their_own_ids(store: TrainedModelStore) -> None:
    first, second = add(store), add(store, job_id="another")
    store.change(first.id, created_at=first.created_at.replace(year=2020))
    assert second.path == "models/checkpoints/sample-2/final"
    assert store.find("sample", owner=LIN).id == second.id
    assert store.find(first.id, owner=LIN).id == first.id
    assert [row.id for row in store.page(owner=LIN)[0]] == [second.id, first.id]


def test_a_name_of_chinese_letters_has_an_id_all_the_same(store: TrainedModelStore) -> None:
    made = add(store, "金融")
    assert made.id.startswith("lora-")
    assert as_catalog_row(made).name == "金融"
    assert store.find("金融", owner=LIN).id == made.id


def test_another_s_model_is_not_there(store: TrainedModelStore) -> None:
    made = add(store)
    for name in (made.id, made.openai_name, "sample", made.path):
        with pytest.raises(NotFound):
            store.find(name, owner=MO)
    with pytest.raises(NotFound):
        store.remove(made.id, owner=MO)
    assert add(store, owner=MO).path == made.path
    assert store.find(made.id, owner=None).owner == LIN


@pytest.mark.parametrize("path", ["../x", "models/../x", "/etc/passwd", "data/x/final", "models//..", "a\\b/c"])
def test_a_place_outside_is_refused(store: TrainedModelStore, path: str) -> None:
    with pytest.raises(Malformed):
        store.place(LIN, path, "sample")


def test_a_link_that_leads_out_is_refused(store: TrainedModelStore, tmp_path: Path) -> None:
    store.place(LIN, "models/checkpoints", "sample")
    (store._settings.models_dir / "users" / LIN / "out").symlink_to(tmp_path)
    with pytest.raises(Malformed):
        store.place(LIN, "models/out", "sample")


def test_the_same_job_makes_one_model(store: TrainedModelStore) -> None:
    first = add(store, job_id="job-1")
    assert add(store, "other", job_id="job-1").id == first.id
    assert store.page(owner=LIN)[1] == 1


def test_pages_go_on_after_the_last(store: TrainedModelStore) -> None:
    ids = [add(store, f"m{number}").id for number in range(5)]
    rows, count = store.page(owner=LIN, limit=2)
    more, _ = store.page(owner=LIN, limit=10, after=rows[-1].id)
    assert count == 5
    assert sorted(row.id for row in rows + more) == sorted(ids)
    with pytest.raises(Invalid):
        store.page(owner=LIN, after="nobody")


def test_uses_are_counted(store: TrainedModelStore) -> None:
    made = add(store)
    assert (card(made).usage_count, card(made).last_used) == (0, None)
    store.note_use(made.id)
    store.note_use(made.id)
    told = card(store.find(made.id, owner=LIN))
    assert told.usage_count == 2
    assert told.last_used is not None
    assert told.metrics == {"val_loss": 2.12}


def test_removal_takes_the_files_along(store: TrainedModelStore) -> None:
    made = add(store)
    folder = store.folder(made)
    assert folder.is_dir()
    store.remove(made.id, owner=LIN)
    assert not folder.parent.exists()
    assert store.row(made.id) is None


def test_the_newest_that_chats(store: TrainedModelStore) -> None:
    assert store.newest(owner=LIN) is None
    made = add(store)
    add(store, "cats", kind="image_classifier", engine="classifier", abilities=["image-classification"])
    newest = store.newest(owner=LIN)
    assert newest is not None
    assert newest.id == made.id


def test_a_name_leads_to_its_owner_s_model_alone(services: Services) -> None:
    made = add(services.trained)
    for name in (made.id, made.openai_name, "sample", made.path):
        route = routes.resolve(name, "chat", services=services, owner=LIN)
        assert (route.provider, route.upstream_model) == ("local", made.id)
        assert route.row is not None
        assert route.row.base == "smollm2-135m-instruct"
        with pytest.raises(NotFound):
            routes.resolve(name, "chat", services=services, owner=MO)
    with pytest.raises(NotFound):
        routes.resolve("sample", "image-classification", services=services, owner=LIN)
    assert routes.local_row(made.id, services) == route.row


def test_what_somebody_trained_is_listed_with_what_chats(services: Services) -> None:
    made = add(services.trained)
    listed = models.list_chat(services=services, owner=LIN).models
    assert [(row.id, row.installed) for row in listed[-1:]] == [(made.id, True)]
    assert made.id not in [row.id for row in models.list_chat(services=services, owner=MO).models]


def test_a_catalog_id_comes_before_what_somebody_calls_a_model(services: Services) -> None:
    add(services.trained, "demo")
    assert routes.resolve("demo", "chat", services=services, owner=LIN).provider == "demo"
