"""Films: choose the model, let it film, and keep what it made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services import films, pictures, routes
from services.catalog import LOCAL, Route
from services.compute.progress import SILENT, Job
from services.compute.registry import Lane, function
from services.contracts.images import SourcePicture
from services.contracts.video import ShotFilm, VideoFile, VideoModel, VideoRequest, VideoResult
from services.errors import Invalid, UpstreamFailed
from services.files import KeptFile
from services.films import FilmFacts
from services.providers import video_provider

if TYPE_CHECKING:
    from services.assemble import Services

# What of a request says who answers; the rest says what the film shall be.
ADDRESS = {"model_id", "config_id"}


def resolve(request: VideoRequest, *, services: "Services", owner: str) -> Route:
    """Who films *request* for *owner*. Raises NotFound, Unavailable or Invalid."""
    if request.config_id:
        return routes.configured(request.config_id, request.model_id, services=services, owner=owner)
    return routes.resolve(request.model_id, request.ability, services=services, owner=owner)


def lane(request: VideoRequest, *, services: "Services", owner: str) -> Lane:
    """Where a job for *request* waits its turn: a film from a provider keeps no local model busy.

    Raises what `resolve` raises, so that a wrong model is told before a job is made.
    """
    return "gpu" if resolve(request, services=services, owner=owner).provider == LOCAL else "io"


@function(lane="gpu", lane_of=lane, needs_engine=True, attempts=2)
def generate(request: VideoRequest, *, services: "Services", job: Job = SILENT) -> VideoResult:
    """The film for *request*, kept as the owner's of *job*; nothing after an error.

    Raises NotFound for a model or a picture that is not there, Unavailable for a model that is not installed
    or has no key, and what the model raises.
    """
    route = resolve(request, services=services, owner=job.owner)
    _bound(request, services)
    source = _source(request, services, job)
    with _opened(route, services) as model, services.files.batch(owner=job.owner, job_id=job.id) as batch:
        draft = batch.draft("video", ".mp4")
        shot = model.film(request, target=draft.part, source=source, job=job)
        job.check()
        return _describe(request, route, shot, draft, _inspect(draft))


@contextmanager
def _opened(route: Route, services: "Services") -> Iterator[VideoModel]:
    """The model at the end of *route*; a local one stays loaded inside."""
    row = route.row
    if route.provider != LOCAL or row is None:
        yield video_provider(route, services.settings, services.outbound)
        return
    with services.pool.lease(row, lambda: services.catalog.path(row)) as engine:
        assert isinstance(engine, VideoModel)
        yield engine


def _bound(request: VideoRequest, services: "Services") -> None:
    most = services.settings.max_image_pixels
    if request.width and request.height and request.width * request.height > most:
        raise Invalid(
            "width",
            "width × height is over {most} million pixels.",
            "width × height 超过 {most} 百万像素。",
            reason="too_many_pixels",
            most=round(most / 1e6, 1),
        )


def _source(request: VideoRequest, services: "Services", job: Job) -> SourcePicture | None:
    if request.image is None:
        return None
    kept = services.files.find(request.image, owner=job.owner or None)
    return pictures.check(kept.path, max_pixels=services.settings.max_image_pixels)


def _inspect(draft: KeptFile) -> FilmFacts:
    try:
        return films.inspect(draft.part)
    except (Invalid, OSError) as error:
        raise UpstreamFailed(
            "The model's film cannot be read; try again.", "模型返回的视频无法读取，请重试。", kind="broken_film"
        ) from error


def _describe(request: VideoRequest, route: Route, shot: ShotFilm, draft: KeptFile, facts: FilmFacts) -> VideoResult:
    asked = request.model_dump(exclude=ADDRESS)
    seen = {"width": facts.width, "height": facts.height, "num_frames": facts.num_frames, "fps": facts.fps}
    used = asked | {"seed": shot.seed} | shot.parameters | seen
    file = VideoFile(
        name=draft.name,
        url=draft.url,
        media_type=draft.media_type,
        width=facts.width,
        height=facts.height,
        num_frames=facts.num_frames,
        fps=facts.fps,
        seed=shot.seed,
    )
    return VideoResult(
        files=[file],
        width=facts.width,
        height=facts.height,
        seed=shot.seed,
        model=route.name,
        revision=shot.revision,
        provider=route.provider,
        parameters={name: value for name, value in used.items() if value not in (None, "")},
    )
