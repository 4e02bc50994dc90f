"""Models that look at pictures: the starter classifier with its real weights, and tiny detectors of real classes."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.assemble import Services, assemble
from services.catalog import Catalog
from services.contracts.models import CatalogRow, PullRequest
from services.domains import models
from services.engines.pool import ModelPool
from services.settings import Settings

CLASSIFIER = "efficientnet-lite0"
LABELS = {0: "person", 1: "cat", 2: "traffic light"}
NAMES = {"id2label": LABELS, "label2id": {label: number for number, label in LABELS.items()}}
# What the detector with hand-set heads says of every picture: class, logit, and the box's middle and size.
HAND_SET = [
    (1, 1.0, (0.25, 0.5, 0.5, 0.25)),
    (0, 3.0, (0.75, 0.25, 0.25, 0.5)),
    (2, 2.0, (0.5, 0.9, 0.5, 0.4)),
]
# The spot that `spot-finder` finds, the side of the square picture that it sees, and how far its places are apart.
SPOT, SIDE, STRIDE = 32, 256, 8


@pytest.fixture(scope="session")
def vision_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the starter classifier, pulled as a user pulls it, and the tiny detectors."""
    import torch

    torch.set_num_threads(1)
    folder, scratch = tmp_path_factory.mktemp("vision-models"), tmp_path_factory.mktemp("pull")
    settings = Settings(_env_file=None, secret_key="x" * 32, instance_dir=scratch, models_dir=folder)
    assembled = assemble(settings)
    models.pull(PullRequest(model=CLASSIFIER), services=assembled)
    assembled.close()
    for name, build in DETECTORS.items():
        torch.manual_seed(0)
        model, processor = build()
        model.eval().save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return folder


@pytest.fixture
def vision_services(services: Services, vision_models: Path) -> Services:
    """The services of one test, which have those models."""
    settings: Settings = services.settings.model_copy(update={"models_dir": vision_models, "cpu_threads": 1})
    found = replace(
        services, settings=settings, catalog=Catalog(settings, more_rows=detector_rows), pool=ModelPool(settings)
    )
    found.jobs.bind(found)
    return found


def detector_rows() -> list[CatalogRow]:
    """The catalog's rows of the tiny detectors."""
    return [
        CatalogRow(id=name, name=name, abilities=["object-detection"], licence="own", engine="detector")
        for name in DETECTORS
    ]


def rt_detr_v2() -> tuple[Any, Any]:
    from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection

    return RTDetrV2ForObjectDetection(RTDetrV2Config(backbone_config=rt_backbone(), **RT)), rt_processor(64)


def d_fine() -> tuple[Any, Any]:
    from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config

    backbone = HGNetV2Config(
        stage_in_channels=[8, 8, 8, 8],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 8, 8, 8],
        stage_num_blocks=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True],
        stage_light_block=[False] * 4,
        stage_kernel_size=[3] * 4,
        stage_numb_of_layers=[1] * 4,
        stem_channels=[3, 8, 8],
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8],
        embedding_size=8,
        out_features=["stage2", "stage3", "stage4"],
    )
    return DFineForObjectDetection(DFineConfig(backbone_config=backbone, **RT)), rt_processor(64)


def detr() -> tuple[Any, Any]:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig
    from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil

    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, layer_type="basic", out_features=["stage4"]
    )
    config = DetrConfig(
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=6,
        **NAMES,
    )
    return DetrForObjectDetection(config), DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128})


def yolos() -> tuple[Any, Any]:
    from transformers import YolosConfig, YolosForObjectDetection
    from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 64],
        patch_size=16,
        num_detection_tokens=len(HAND_SET),
        **NAMES,
    )
    return YolosForObjectDetection(config), YolosImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128})


def hand_set() -> tuple[Any, Any]:
    """YOLOS whose one layer changes nothing and whose heads say `HAND_SET` of every picture."""
    import torch

    model, processor = yolos()
    with torch.no_grad():
        layer, embeddings = model.vit.encoder.layer[0], model.vit.embeddings
        for silent in (layer.attention.output.dense, layer.output.dense):
            silent.weight.zero_()
            silent.bias.zero_()
        embeddings.position_embeddings.zero_()
        embeddings.detection_tokens.copy_(torch.eye(len(HAND_SET), 16)[None])
        # After its norm a token is high at its own number and low elsewhere.
        high, low = torch.nn.functional.layer_norm(torch.eye(16)[0], (16,))[:2]
        for head, outputs in ((model.class_labels_classifier, class_logits()), (model.bbox_predictor, box_logits())):
            scales = [torch.eye(16), torch.eye(16) / (high - low), torch.zeros(len(outputs[0]), 16)]
            scales[2][:, : len(HAND_SET)] = torch.tensor(outputs).T
            for linear, weight, bias in zip(head.layers, scales, (-low, 0, 0), strict=True):
                linear.weight.copy_(weight)
                linear.bias.fill_(bias)
    return model, processor


def spot_finder() -> tuple[Any, Any]:
    """RT-DETR that tells one place of a picture: the one that is most like the middle of a white spot on black."""
    import torch
    from transformers import RTDetrConfig, RTDetrForObjectDetection

    torch.manual_seed(1)
    model = RTDetrForObjectDetection(RTDetrConfig(backbone_config=rt_backbone(), **(RT | {"num_queries": 1}))).eval()
    heads = model.model.decoder
    with torch.no_grad():
        # Every class head but the cat's hears nothing, and boxes are those of the places as they are.
        model.model.enc_score_head.weight.zero_()
        model.model.enc_score_head.bias.zero_()
        model.model.enc_score_head.weight[1] = spot_direction(model)
        for head in [model.model.enc_bbox_head, *heads.bbox_embed]:
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.zero_()
        for head in heads.class_embed:
            head.weight.zero_()
            head.bias.copy_(torch.tensor([-5.0, 2.0, -5.0]))
    return model, rt_processor(SIDE)


def spot_direction(model: Any) -> Any:
    """The direction in which features differ most between a spot's middle and elsewhere, by least squares."""
    import torch

    heard: list[torch.Tensor] = []
    hook = model.model.enc_score_head.register_forward_hook(lambda _, given, __: heard.append(given[0][0]))
    cells = torch.arange(SIDE // STRIDE) * STRIDE + STRIDE / 2
    wanted = []
    for x, y in itertools.product(range(24, SIDE - 16, 40), repeat=2):
        picture = torch.zeros(1, 3, SIDE, SIDE)
        picture[..., y - SPOT // 2 : y + SPOT // 2, x - SPOT // 2 : x + SPOT // 2] = 1
        model(picture)
        near = torch.exp(-((cells[None, :] - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * 12**2)).flatten()
        # The finest of the three maps comes first; nothing is wanted of the others.
        wanted.append(torch.nn.functional.pad(near, (0, len(heard[-1]) - len(near))))
    hook.remove()
    features, near = torch.cat(heard), torch.cat(wanted)
    features = features - features.mean(0)
    ridge = 1e-7 * len(features) * torch.eye(features.shape[1])
    return torch.linalg.solve(features.T @ features + ridge, features.T @ (near - near.mean()))


def class_logits() -> list[list[float]]:
    """The logits of each token: its own class high, nothing at all 0, and the others low."""
    return [[logit if number == label else -9.0 for number in LABELS] + [0.0] for label, logit, _ in HAND_SET]


def box_logits() -> list[list[float]]:
    import torch

    return [torch.logit(torch.tensor(box)).tolist() for _, _, box in HAND_SET]


def rt_backbone() -> Any:
    from transformers import RTDetrResNetConfig

    return RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8] * 4,
        depths=[1] * 4,
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def rt_processor(side: int) -> Any:
    from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil

    return RTDetrImageProcessorPil(size={"height": side, "width": side})


RT: dict[str, Any] = {
    "encoder_hidden_dim": 16,
    "encoder_in_channels": [8, 8, 8],
    "encoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "encoder_layers": 1,
    "d_model": 16,
    "num_queries": 6,
    "decoder_in_channels": [16, 16, 16],
    "decoder_ffn_dim": 16,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "num_denoising": 0,
    **NAMES,
}
DETECTORS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "tiny-rt-detr": rt_detr_v2,
    "tiny-d-fine": d_fine,
    "tiny-detr": detr,
    "tiny-yolos": yolos,
    "hand-set": hand_set,
    "spot-finder": spot_finder,
}
