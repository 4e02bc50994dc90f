"""What is refused before anything of a model is loaded, and what runs where."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.contracts.models import CatalogRow
from services.engines import diffusion_memory, diffusion_tasks
from services.engines.diffusion import Diffusion
from services.engines.diffusion_folder import INDEX, read_index
from services.errors import Invalid
from services.settings import Settings

GB = 1024


@pytest.fixture
def model(tiny_models: Path, tmp_path: Path) -> Path:
    """A copy of a model, to be spoilt."""
    return Path(shutil.copytree(tiny_models / "tiny-sd", tmp_path / "model"))


def change_index(model: Path, **changes: Any) -> None:
    told = json.loads((model / INDEX).read_text())
    (model / INDEX).write_text(json.dumps(told | changes))


def refusal(model: Path, settings: Settings) -> str:
    """What `load` says of *model*, which is not loaded."""
    row = CatalogRow(id="own", name="own", abilities=["text-to-image"], licence="own", engine="diffusion")
    with pytest.raises(Invalid) as caught:
        Diffusion(row, model, settings).load()
    assert caught.value.details == {"field": "model_id", "reason": "unsafe_model"}
    return str(caught.value)


def test_a_good_folder_is_read(model: Path) -> None:
    index = read_index(model)
    assert index.class_name == "StableDiffusionPipeline"
    assert index.parts["unet"] == ("diffusers", "UNet2DConditionModel")
    assert "safety_checker" not in index.parts and index.variant is None


@pytest.mark.parametrize("place", ["pipeline.py", "unet/modeling.py", "tokenizer/deep/er.py"])
def test_code_is_refused(model: Path, settings: Settings, place: str) -> None:
    (model / place).parent.mkdir(exist_ok=True, parents=True)
    (model / place).write_text("raise SystemExit")
    assert Path(place).name in refusal(model, settings)


@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pt", ".pth"])
def test_pickles_alone_are_refused(model: Path, settings: Settings, suffix: str) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(suffix))
    assert "unet has pickled weights alone" in refusal(model, settings)


def test_a_pickle_beside_safetensors_is_not_read(model: Path, settings: Settings) -> None:
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"no pickle at all")
    row = CatalogRow(id="own", name="own", abilities=["text-to-image"], licence="own", engine="diffusion")
    engine = Diffusion(row, model, settings)
    engine.load()
    engine.unload()


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": "NoSuchPipeline"},
        {"_class_name": "UNet2DConditionModel"},
        {"_class_name": "logging"},
        {"_class_name": ["pipeline", "Own"]},
        {"_class_name": None},
        {"unet": ["os", "system"]},
        {"unet": ["diffusers", "NoSuchModel"]},
        {"unet": ["../evil", "Model"]},
        {"../unet": ["diffusers", "UNet2DConditionModel"]},
        {"unet": ["diffusers.models", "UNet2DConditionModel"]},
    ],
)
def test_unknown_classes_are_refused(model: Path, settings: Settings, changes: dict[str, Any]) -> None:
    change_index(model, **changes)
    refusal(model, settings)


@pytest.mark.parametrize("text", [None, "", "[]", "{", "\0"])
def test_a_folder_without_a_readable_index(model: Path, settings: Settings, text: str | None) -> None:
    (model / INDEX).unlink()
    if text is not None:
        (model / INDEX).write_text(text)
    refusal(model, settings)


def test_halves_alone_are_asked_for_by_name(model: Path) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert read_index(model).variant == "fp16"


# What runs where


@pytest.mark.parametrize(
    ("weights", "largest", "free", "device", "offload", "dtype"),
    [
        (4 * GB, 3 * GB, None, "cpu", "none", "float32"),
        (4 * GB, 3 * GB, 8 * GB, "cuda", "none", "bfloat16"),
        (12 * GB, 5 * GB, 8 * GB, "cuda", "model", "bfloat16"),
        (40 * GB, 24 * GB, 8 * GB, "cuda", "sequential", "bfloat16"),
        (4 * GB, 3 * GB, 1 * GB, "cuda", "sequential", "bfloat16"),
    ],
)
def test_memory_is_spared_where_it_is_short(
    weights: float, largest: float, free: float | None, device: str, offload: str, dtype: str
) -> None:
    placement = diffusion_memory.place(weights, largest, free)
    assert (placement.device, placement.offload, placement.dtype) == (device, offload, dtype)


def test_large_results_are_decoded_in_tiles() -> None:
    calls: list[str] = []

    class Coder:
        use_tiling = False

        def enable_tiling(self) -> None:
            calls.append("tiles")
            self.use_tiling = True

        def disable_tiling(self) -> None:
            calls.append("whole")
            self.use_tiling = False

    pipeline, placement = SimpleNamespace(vae=Coder()), diffusion_memory.Placement("cpu")
    for side in (512, 2048, 2056, 512, 512):
        diffusion_memory.decode_in_tiles(pipeline, placement, side * side, film=False)
    assert calls == ["tiles", "whole"]
    diffusion_memory.decode_in_tiles(SimpleNamespace(), placement, 10**9, film=False)


@pytest.mark.parametrize(
    ("told", "step"),
    [
        ({"vae_scale_factor": 8}, 8),
        ({"vae_scale_factor": 8, "transformer": SimpleNamespace(config=SimpleNamespace(patch_size=2))}, 16),
        ({"vae_spatial_compression_ratio": 32}, 32),
        (
            {
                "vae_scale_factor_spatial": 8,
                "transformer": SimpleNamespace(config=SimpleNamespace(patch_size=[1, 2, 2])),
            },
            16,
        ),
        ({"vae_scale_factor": 8, "image_processor": SimpleNamespace(config={"vae_scale_factor": 16})}, 16),
        ({}, 8),
    ],
)
def test_what_sides_must_be_multiples_of(told: dict[str, Any], step: int) -> None:
    assert diffusion_tasks.unit(SimpleNamespace(**told)) == step


def test_a_side_that_is_no_multiple_is_told_the_nearest() -> None:
    diffusion_tasks.check_side("width", 64, 32)
    diffusion_tasks.check_side("width", None, 32)
    with pytest.raises(Invalid) as caught:
        diffusion_tasks.check_side("height", 720, 32)
    assert caught.value.details == {"field": "height", "reason": "not_a_multiple"}
    assert "704 is" in str(caught.value)
