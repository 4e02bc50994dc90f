"""Pipelines of diffusers' real classes, tiny and with random weights, saved as a hub has them; built once a session.

Nothing is fetched: the tokenizers know single letters alone.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.assemble import Services
from services.catalog import Catalog
from services.contracts.models import Ability, CatalogRow
from services.engines.pool import ModelPool
from services.settings import Settings

PICTURES: list[Ability] = ["text-to-image", "image-to-image"]
FILMS: list[Ability] = ["text-to-video", "image-to-video"]
ABILITIES: dict[str, list[Ability]] = {"tiny-sd": PICTURES, "tiny-sdxl": PICTURES, "tiny-ltx": FILMS}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 77,
}


def rows() -> list[CatalogRow]:
    """The catalog's rows of the tiny models, as of models that were put there by hand."""
    return [
        CatalogRow(id=name, name=name, abilities=able, licence="own", engine="diffusion")
        for name, able in ABILITIES.items()
    ]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `tiny-sd`, `tiny-sdxl` and `tiny-ltx`."""
    folder = tmp_path_factory.mktemp("tiny-models")
    builders: dict[str, Callable[[], Any]] = {"tiny-sd": stable_diffusion, "tiny-sdxl": sdxl, "tiny-ltx": ltx}
    import torch

    # So little work is done soonest by one thread, above all beside other work.
    torch.set_num_threads(1)
    for name, build in builders.items():
        torch.manual_seed(0)
        build().save_pretrained(folder / name, safe_serialization=True)
    return folder


@pytest.fixture
def tiny_services(services: Services, tiny_models: Path) -> Services:
    """The services of one test, which have the tiny models."""
    return with_tiny_models(services, tiny_models)


def with_tiny_models(services: Services, folder: Path) -> Services:
    """*services* with the models in *folder*."""
    settings: Settings = services.settings.model_copy(update={"models_dir": folder})
    found = replace(services, settings=settings, catalog=Catalog(settings, more_rows=rows), pool=ModelPool(settings))
    found.jobs.bind(found)
    return found


def stable_diffusion(*, halvings: int = 1) -> Any:
    """A Stable Diffusion 1 of a few thousand weights; the real one's coder halves the sides three times."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = clip_tokenizer()
    unet = UNet2DConditionModel(
        block_out_channels=(4, 8),
        layers_per_block=1,
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=2,
    )
    return StableDiffusionPipeline(
        unet=unet,
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        vae=picture_coder(halvings),
        text_encoder=CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), **TEXT, **ends(tokenizer))),
        tokenizer=tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> Any:
    """A Stable Diffusion XL of a few thousand weights."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    text = CLIPTextConfig(vocab_size=len(tokenizer), projection_dim=32, **TEXT, **ends(tokenizer))
    unet = UNet2DConditionModel(
        block_out_channels=(2, 4),
        layers_per_block=2,
        norm_num_groups=1,
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=80,
        cross_attention_dim=64,
    )
    return StableDiffusionXLPipeline(
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        vae=picture_coder(),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
    )


def ltx() -> Any:
    """An LTX-Video of a few thousand weights; its sister begins films with a picture."""
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel

    tokenizer = t5_tokenizer()
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=32,
    )
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False, False, False, False, False),
        upsample_residual=(False, False, False, False),
        upsample_factor=(1, 1, 1, 1),
        timestep_conditioning=False,
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    text = T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return LTXPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=T5EncoderModel(text),
        tokenizer=tokenizer,
    )


def picture_coder(halvings: int = 1) -> Any:
    """A picture's coder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(*[4] * halvings, 8),
        norm_num_groups=2,
        down_block_types=["DownEncoderBlock2D"] * (halvings + 1),
        up_block_types=["UpDecoderBlock2D"] * (halvings + 1),
        latent_channels=4,
        sample_size=32,
    )


def clip_tokenizer() -> Any:
    """CLIP's tokenizer for single bytes."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)


def t5_tokenizer() -> Any:
    """T5's tokenizer for single letters."""
    from transformers import T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "▁", *(chr(code) for code in range(33, 127))]
    return T5Tokenizer(vocab=[(piece, -float(number)) for number, piece in enumerate(pieces)], extra_ids=0)


def ends(tokenizer: Any) -> dict[str, int]:
    return {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 1}
