"""Ark's pictures (seedream): one call each, as there is no `n`; with a picture the same call changes it.

Source: Volcengine's documents 82379/1541523. Without `watermark: false` a mark is printed into the picture.
"""

from typing import TYPE_CHECKING, Any

from services.contracts.images import ImageModel, ImageRequest, PaintedPictures, Picture, SourcePicture
from services.errors import Invalid, UpstreamFailed
from services.providers.base import Provider
from services.providers.failures import no_answer
from services.providers.media_results import as_data_url, decode_picture, fetch_picture, seed_for
from services.providers.sizes import Size, asked_size, within_area, within_sides

if TYPE_CHECKING:
    from services.compute.progress import Job

PICTURES = "/images/generations"
LARGEST_AREA = 16_777_216
# Pixels that a picture must have, by what stands in the name.
LEAST_AREAS = {"seedream-4-0": 921_600}
LEAST_AREA = 3_686_400
OLD_SIDES = (512, 2048)
NOT_TAKEN = {"num_inference_steps": None, "negative_prompt": None, "strength": None}


class ArkPainter(ImageModel):
    """One picture model behind `/images/generations`."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider, self._model = provider.about("prompt"), model
        # Those of the third generation alone know a seed and how closely to follow the prompt.
        self._old = "-3-0" in model

    def paint(self, request: ImageRequest, *, source: SourcePicture | None, job: "Job") -> PaintedPictures:
        seed, painted = seed_for(request.seed) if self._old else None, list[Picture]()
        for number in range(request.n):
            job.progress(number / request.n, picture=number + 1)
            try:
                painted.append(self._paint(request, source, None if seed is None else seed + number))
            except (UpstreamFailed, Invalid):
                if not painted:  # What was made is paid for, and kept.
                    raise
                break
        unused = {} if self._old else {"seed": None, "guidance_scale": None}
        return PaintedPictures(painted, {**NOT_TAKEN, **unused}, revision=self._model)

    def _paint(self, request: ImageRequest, source: SourcePicture | None, seed: int | None) -> Picture:
        body: dict[str, Any] = {"model": self._model, "prompt": request.prompt, "watermark": False}
        body["response_format"] = "url"
        if size := asked_size(request.width, request.height):
            body["size"] = "x".join(str(side) for side in self._size(size))
        if source:
            body["image"] = as_data_url(source)
        if seed is not None:
            body["seed"] = seed
            if request.guidance_scale is not None:
                body["guidance_scale"] = min(max(request.guidance_scale, 1.0), 10.0)
        results = self._provider.post(PICTURES, body).get("data") or []
        if not results:
            raise no_answer()
        return self._fetch(results[0], seed)

    def _size(self, wanted: Size) -> Size:
        if self._old:
            return within_sides(wanted, *OLD_SIDES)
        least = next((area for name, area in LEAST_AREAS.items() if name in self._model), LEAST_AREA)
        return within_area(wanted, least, LARGEST_AREA)

    def _fetch(self, result: dict[str, Any], seed: int | None) -> Picture:
        if result.get("error"):
            raise self._provider.refusal(result)
        if result.get("b64_json"):
            return Picture(decode_picture(result["b64_json"]), seed)
        if not result.get("url"):
            raise no_answer()
        return Picture(fetch_picture(result["url"], self._provider.outbound), seed)
