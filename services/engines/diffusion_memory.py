"""Where a pipeline runs and how it spares memory, by what the device has."""

from dataclasses import dataclass
from typing import Any, Literal

Offload = Literal["none", "model", "sequential"]

# What a picture of usual size takes beside the weights, in MiB.
WORK_MB = 2500
# A decoder needs about a kilobyte a pixel; above this many it works in tiles.
WHOLE_PIXELS = 2048 * 2048
WHOLE_PIXELS_OF_FILMS = 16 * WHOLE_PIXELS


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a pipeline runs: in fp32 on a CPU, in bf16 on a GPU, whole or part by part."""

    device: Literal["cpu", "cuda"]
    offload: Offload = "none"

    @property
    def dtype(self) -> str:
        """The name of torch's type."""
        return "float32" if self.device == "cpu" else "bfloat16"


def place(weights_mb: float, largest_part_mb: float, free_gpu_mb: float | None) -> Placement:
    """Where *weights_mb* of weights run on a machine whose GPU has *free_gpu_mb*; None means no GPU.

    All on the GPU where they fit; else one part at a time (`model`); else layer by layer (`sequential`),
    which is slow and takes hardly any memory.
    """
    if free_gpu_mb is None:
        return Placement("cpu")
    room_mb = free_gpu_mb - WORK_MB
    if weights_mb <= room_mb:
        return Placement("cuda")
    return Placement("cuda", "model" if largest_part_mb <= room_mb else "sequential")


def free_gpu_mb() -> float | None:
    """Free memory of the first GPU in MiB; None without one."""
    import torch

    return torch.cuda.mem_get_info()[0] / 2**20 if torch.cuda.is_available() else None


def settle(pipeline: Any, placement: Placement) -> None:
    """Bring *pipeline* to its place. Parts that pipelines share are hooked anew by whichever runs next."""
    if placement.offload == "model":
        pipeline.enable_model_cpu_offload()
    elif placement.offload == "sequential":
        pipeline.enable_sequential_cpu_offload()
    elif placement.device != "cpu":
        pipeline.to(placement.device)


def decode_in_tiles(pipeline: Any, placement: Placement, pixels: int, *, film: bool) -> None:
    """Let the decoder work in tiles for large results alone: seams can show, so small ones stay whole."""
    vae: Any = getattr(pipeline, "vae", None)
    if not hasattr(vae, "enable_tiling"):
        return
    most = WHOLE_PIXELS_OF_FILMS if film and placement.offload == "none" else WHOLE_PIXELS
    if pixels > most:
        vae.enable_tiling()
    elif getattr(vae, "use_tiling", False):
        vae.disable_tiling()
