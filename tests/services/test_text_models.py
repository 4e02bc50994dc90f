"""What is leased for a model's row: adapters of one GGUF base share a server, and the base keeps its own."""

import shutil
from pathlib import Path

import pytest

from services.assemble import Services, assemble
from services.contracts.chat import ChatRequest
from services.contracts.training import NewModel
from services.errors import NotFound
from services.settings import Settings
from services.text_models import opened
from services.trained_models import as_catalog_row
from tests.text_adapters import SHORT

OWNER = "lin"


@pytest.fixture
def short_services(settings: Settings, short_gguf: Path, gguf_adapters: dict[str, Path]) -> Services:
    """Services that have `short` and two adapters of it."""
    small = {"chat_slots": 1, "chat_context_tokens": 256, "cpu_threads": 1}
    made = assemble(settings.model_copy(update=small), place="inline")
    shutil.copytree(short_gguf / SHORT, settings.models_dir / SHORT)
    for name in ("one", "two"):
        location = f"users/{OWNER}/checkpoints/{name}/final"
        shutil.copytree(gguf_adapters[name], settings.models_dir / location)
        new = NewModel(
            owner=OWNER,
            name=name,
            kind="lora",
            job_id=name,
            path=f"models/checkpoints/{name}/final",
            location=location,
            engine="llama_cpp",
            abilities=["chat"],
            base_model=SHORT,
            adapter=True,
        )
        made.trained.add(new)
    return made


def said(services: Services, name: str) -> str:
    asked = {"messages": [{"role": "user", "content": "Name the largest ocean."}], "temperature": 0, "max_tokens": 8}
    found = services.trained.look_up(name, owner=OWNER)
    row = as_catalog_row(found) if found else services.catalog.find(name)
    with opened(row, services=services) as model:
        return model.reply(ChatRequest.model_validate(asked)).text


def test_adapters_share_one_server_and_the_base_has_its_own(short_services: Services) -> None:
    one, two, base = (said(short_services, name) for name in ("one", "two", SHORT))
    assert len({one, two, base}) == 3
    assert [said(short_services, name) for name in (SHORT, "two", "one")] == [base, two, one]
    assert sorted(str(model["id"]) for model in short_services.pool.loaded()) == [
        SHORT,
        f"{SHORT} with adapters on llama_cpp_adapters",
    ]
    short_services.close()


def test_an_adapter_whose_base_is_gone_is_told(short_services: Services) -> None:
    found = short_services.trained.find("one", owner=OWNER)
    row = as_catalog_row(found).model_copy(update={"base": "nobody"})
    with pytest.raises(NotFound), opened(row, services=short_services):
        pass
    short_services.close()
