"""Pictures: choose the model, let it paint, keep what it made, and write it into the history."""

from typing import TYPE_CHECKING, Any

from services import VERSION, generation, history, pictures, png_notes
from services.catalog import Route
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.history import HistoryEntry
from services.contracts.images import (
    ImageFile,
    ImageModel,
    ImageRequest,
    ImageResult,
    PaintedPictures,
    Picture,
)
from services.errors import ServiceError, UpstreamFailed
from services.files import Batch
from services.providers import image_provider

if TYPE_CHECKING:
    from services.assemble import Services

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
# What of a request says who answers; the rest says what the picture shall be.
ADDRESS = {"prompt", "model_id", "config_id"}


@function(lane="gpu", lane_of=generation.lane, needs_engine=True, attempts=2)
def generate(request: ImageRequest, *, services: "Services", job: Job = SILENT) -> ImageResult:
    """The pictures for *request*, kept as the owner's of *job*; all of them, or none after an error.

    Raises NotFound for a model or a picture that is not there, Unavailable for a model that is not installed
    or has no key, and what the model raises.
    """
    route = generation.resolve(request, services=services, owner=job.owner)
    generation.bound(request, services)
    source = generation.source(request, services, job)
    maker = generation.opened(route, ImageModel, image_provider, services)
    with maker as model, services.files.batch(owner=job.owner, job_id=job.id) as batch:
        painted = model.paint(request, source=source, job=job)
        job.check()
        result = _describe(request, route, painted)
        for picture in painted.pictures:
            result.files.append(_keep(picture, batch, request, result, services))
        _tell_first(result)
        result.history_id = _record(request, result, services, job)
    return result


def _describe(request: ImageRequest, route: Route, painted: PaintedPictures) -> ImageResult:
    """The result as far as it is known before its files."""
    asked = request.model_dump(exclude=ADDRESS | ({"strength"} if request.image is None else set()))
    return ImageResult(
        files=[],
        width=0,
        height=0,
        model=route.name,
        revision=painted.revision,
        provider=route.provider,
        parameters={name: value for name, value in (asked | painted.parameters).items() if value not in (None, "")},
    )


def _keep(
    picture: Picture, batch: Batch, request: ImageRequest, result: ImageResult, services: "Services"
) -> ImageFile:
    """*picture* as a file of *batch*; a PNG says in itself how it was made."""
    most, data = services.settings.max_image_pixels, picture.data
    try:
        if request.output_format:
            data = pictures.recoded(data, request.output_format, quality=request.output_compression, max_pixels=most)
        media_type, width, height = pictures.measure(data, max_pixels=most)
    except ServiceError as error:
        raise UpstreamFailed(
            "The model's picture cannot be read; try again.", "模型返回的图片无法读取，请重试。", kind="broken_picture"
        ) from error
    if media_type == "image/png":
        own = {"prompt": request.prompt, "width": width, "height": height, "seed": picture.seed, "n": 1}
        data = png_notes.with_parameters(data, result.parameters | own | _made_by(result))
    file = batch.add(data, "images", SUFFIXES.get(media_type, ".bmp"))
    return ImageFile(
        name=file.name,
        url=file.url,
        media_type=media_type,
        width=width,
        height=height,
        seed=picture.seed,
        revised_prompt=picture.revised_prompt,
    )


def _made_by(result: ImageResult) -> dict[str, Any]:
    return {"model": result.model, "revision": result.revision, "provider": result.provider, "polymath": VERSION}


def _tell_first(result: ImageResult) -> None:
    """Let *result* say of itself what its first picture is."""
    first = result.files[0]
    result.width, result.height, result.seed = first.width, first.height, first.seed
    result.parameters |= {"width": first.width, "height": first.height}
    if first.seed is not None:
        result.parameters["seed"] = first.seed


def _record(request: ImageRequest, result: ImageResult, services: "Services", job: Job) -> str:
    through = {"config_id": request.config_id} if request.config_id else {}
    entry = HistoryEntry(
        owner=job.owner,
        prompt=request.prompt,
        image_urls=result.urls,
        model=result.model,
        provider=result.provider,
        parameters=result.parameters | through,
        job_id=job.id or None,
    )
    return history.record(entry, database=services.database).id
