"""A torch state dict becomes safetensors on its way in; what is more than tensors does not come in."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import pytest

from services.errors import Unavailable
from tests.fakes.hub import HubFake
from tests.services.pulls.conftest import Installation, LocalRow

NAME = "weights.pth"


class Trap:
    """Runs something when it is unpickled the careless way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def saved(content: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def source(hub: HubFake, data: bytes) -> dict[str, Any]:
    """A source of those bytes as a pinned state dict."""
    hub.files = {"config.json": b"{}", NAME: data}
    pinned = {"name": NAME, "sha256": hashlib.sha256(data).hexdigest()}
    return {"hub": "maker/tiny", "files": [{"name": "config.json"}, pinned], "convert": "torch-state-dict"}


def test_a_state_dict_becomes_safetensors(here: Installation, hub: HubFake, row: LocalRow) -> None:
    import torch
    from safetensors.torch import load_file

    weight = torch.arange(12.0).reshape(3, 4)
    # A view, two names of one tensor, and a number: none of them is a plain block of memory.
    tensors = {"weight": weight, "turned": weight.T, "again": weight, "steps": torch.tensor(7)}
    made = row(source(hub, saved(tensors)))
    manifest = here.pull(made)
    assert set(manifest.files) == {"config.json", "model.safetensors"}
    kept = load_file(here.catalog.folder(made) / "model.safetensors")
    assert set(kept) == set(tensors) and all(torch.equal(kept[name], tensor) for name, tensor in tensors.items())


def test_what_would_run_code_is_not_read(here: Installation, hub: HubFake, row: LocalRow, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for data in (saved({"weight": Trap(mark)}), pickle.dumps(Trap(mark))):
        with pytest.raises(Unavailable) as caught:
            here.pull(row(source(hub, data)))
        assert caught.value.details["reason"] == "conversion"
    assert not mark.exists()
    assert not here.catalog.installed(row(source(hub, b"")))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": {"weight": 1}}])
def test_more_than_tensors_by_name_is_no_state_dict(
    here: Installation, hub: HubFake, row: LocalRow, content: Any
) -> None:
    with pytest.raises(Unavailable, match="more than tensors"):
        here.pull(row(source(hub, saved(content))))


def test_half_a_file_is_refused(here: Installation, hub: HubFake, row: LocalRow) -> None:
    import torch

    data = saved({"weight": torch.zeros(1000)})
    with pytest.raises(Unavailable) as caught:
        here.pull(row(source(hub, data[: len(data) // 2])))
    assert caught.value.details["reason"] == "conversion"


def test_the_starter_classifier_is_a_folder_of_transformers(vision_models: Path) -> None:
    from transformers import AutoConfig

    folder = vision_models / "efficientnet-lite0"
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "polymath.json", "preprocessor_config.json"}
    config = AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.id2label[285], config.id2label[967]) == (
        "efficientnet",
        "Egyptian cat",
        "espresso",
    )
