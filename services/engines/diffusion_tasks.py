"""What a pipeline can do, and the request in its own words: read from the signatures of diffusers' classes."""

import inspect
import math
from typing import Any

from services.contracts.models import Ability
from services.engines.diffusion_folder import PipelineIndex, unusable
from services.errors import Invalid

SHAPERS = ("vae_scale_factor", "vae_spatial_compression_ratio", "vae_scale_factor_spatial")
SPEEDS = ("frame_rate", "fps", "target_fps")
USUAL_PIXELS = 1024 * 1024


def pipeline_class(index: PipelineIndex) -> Any:
    """The class of the pipeline, from diffusers itself. Raises Invalid for any other, and for unknown parts."""
    import diffusers

    found = getattr(diffusers, index.class_name, None)
    if not (inspect.isclass(found) and issubclass(found, diffusers.DiffusionPipeline)):
        raise unusable(f"diffusers has no {index.class_name[:60]}", f"diffusers 中没有 {index.class_name[:60]}")
    for name, (library, class_name) in index.parts.items():
        if not hasattr(_library(library), class_name):
            raise unusable(
                f"its part {name} is of no known class ({library}.{class_name[:60]})",
                f"组件 {name} 的类型未知（{library}.{class_name[:60]}）",
            )
    return found


def _library(name: str) -> Any:
    """The module that a part's library means: a whole library, or one of diffusers' own pipelines."""
    import diffusers
    import transformers

    whole = {"diffusers": diffusers, "transformers": transformers}
    return whole.get(name) or getattr(diffusers.pipelines, name, None)


def adapt(pipeline: Any, ability: Ability) -> Any:
    """*pipeline* itself where it has *ability*, else its sister with the same weights. Raises Invalid."""
    if _able(type(pipeline), ability):
        return pipeline
    sister = _sister(type(pipeline), ability)
    if sister is not None and _able(sister, ability):
        return _remake(sister, pipeline)
    if ability == "text-to-image" and _able(type(pipeline), "image-to-image") and _asks(pipeline, "image"):
        return pipeline
    raise Invalid(
        "model_id",
        "{kind} cannot do {ability}; choose another model.",
        "{kind} 不支持 {ability}，请选择其他模型。",
        reason="wrong_ability",
        kind=type(pipeline).__name__,
        ability=ability,
    )


def _able(kind: Any, ability: Ability) -> bool:
    takes = inspect.signature(kind.__call__).parameters
    films, begins = "num_frames" in takes or "video_length" in takes, "image" in takes
    # Masks, poses and other things that nobody can send here.
    needs = {name for name, one in takes.items() if one.default is one.empty and name not in {"self", "args", "kwargs"}}
    if needs - {"prompt", "image", "num_frames"} or "mask_image" in takes:
        return False
    return (films, begins) == (ability.endswith("video"), ability.startswith("image"))


def _asks(pipeline: Any, name: str) -> bool:
    """Whether *name* may be left out."""
    return inspect.signature(type(pipeline).__call__).parameters[name].default is None


def _sister(kind: Any, ability: Ability) -> Any:
    """The class that does *ability* with the weights of *kind*, as diffusers' own tables pair them."""
    from diffusers.pipelines import auto_pipeline as tables

    wanted: dict[str, Any] = {
        "text-to-image": tables.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        "image-to-image": tables.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        "text-to-video": tables.AUTO_TEXT2VIDEO_PIPELINES_MAPPING,
        "image-to-video": tables.AUTO_IMAGE2VIDEO_PIPELINES_MAPPING,
    }[ability]
    every: list[Any] = list(tables.SUPPORTED_TASKS_MAPPINGS)
    families = [family for table in every for family, one in table.items() if one is kind]
    return wanted.get(families[0]) if families else None


def _remake(kind: Any, pipeline: Any) -> Any:
    """A *kind* of the parts and settings of *pipeline*; nothing is copied or cast, as `from_pipe` would."""
    known = {**pipeline.config, **pipeline.components}
    return kind(**{name: known[name] for name in inspect.signature(kind.__init__).parameters if name in known})


def arguments(pipeline: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """Those of *wanted* that are there and that *pipeline* takes; its own defaults stand for the others."""
    takes = inspect.signature(type(pipeline).__call__).parameters
    speeds = {name: wanted["fps"] for name in SPEEDS if "fps" in wanted}
    length = {"video_length": wanted["num_frames"]} if "num_frames" in wanted else {}
    every = wanted | speeds | length | {"output_type": "pil"}
    return {name: value for name, value in every.items() if value is not None and name in takes}


def used(pipeline: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters that a run with *given* has, in the request's words; None for what *pipeline* does not take."""
    takes = inspect.signature(type(pipeline).__call__).parameters
    told: dict[str, Any] = {}
    for name in ("num_inference_steps", "guidance_scale", "negative_prompt", "strength"):
        default = takes[name].default if name in takes else None
        told[name] = given.get(name, default if isinstance(default, int | float | str) else None)
    return told


def unit(pipeline: Any) -> int:
    """What both sides of a picture must be multiples of, in pixels."""
    factor = next((value for name in SHAPERS if isinstance(value := getattr(pipeline, name, None), int)), 8)
    network = getattr(pipeline, "transformer", None) or getattr(pipeline, "unet", None)
    patch = getattr(getattr(network, "config", None), "patch_size", 1) or 1
    processor = getattr(getattr(pipeline, "image_processor", None), "config", {})
    last = patch[-1] if isinstance(patch, list | tuple) else patch
    return max(int(processor.get("vae_scale_factor", 1)), factor * int(last))


def usual_pixels(pipeline: Any) -> int:
    """How many pixels the pipeline's own pictures have, or its frames."""
    takes = inspect.signature(type(pipeline).__call__).parameters
    sides = [takes[name].default for name in ("width", "height") if name in takes]
    if len(sides) == 2 and all(isinstance(side, int) for side in sides):
        return int(sides[0] * sides[1])
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    sample = getattr(getattr(network, "config", None), "sample_size", None)
    factor = next((value for name in SHAPERS if isinstance(value := getattr(pipeline, name, None), int)), 8)
    return (sample * factor) ** 2 if isinstance(sample, int) else USUAL_PIXELS


def with_a_step(pipeline: Any, given: dict[str, Any]) -> dict[str, Any]:
    """*given* with a `strength` that leaves a step to be done: 0 becomes the least change that there is."""
    steps = used(pipeline, given)["num_inference_steps"]
    if "strength" not in given or not steps or int(steps * given["strength"]) >= 1:
        return given
    least = 1 / steps
    while int(steps * least) < 1:  # 49 times 1/49 is a little less than 1.
        least = math.nextafter(least, 1)
    return given | {"strength": least}


def check_side(name: str, value: int | None, step: int) -> None:
    """Raise Invalid when *value* is no multiple of *step*."""
    if value and value % step:
        raise Invalid(
            name,
            "'{name}' must be a multiple of {step} for this model; {near} is.",
            "该模型要求'{name}'为 {step} 的倍数，例如 {near}。",
            reason="not_a_multiple",
            name=name,
            step=step,
            near=max(step, round(value / step) * step),
        )
