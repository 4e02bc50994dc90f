"""Films: choose the model, let it film, and keep what it made."""

from typing import TYPE_CHECKING

from services import films, generation
from services.catalog import Route
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.video import ShotFilm, VideoFile, VideoModel, VideoRequest, VideoResult
from services.errors import Invalid, UpstreamFailed
from services.files import KeptFile
from services.films import FilmFacts
from services.providers import video_provider

if TYPE_CHECKING:
    from services.assemble import Services

# What of a request says who answers; the rest says what the film shall be.
ADDRESS = {"model_id", "config_id"}


@function(lane="gpu", lane_of=generation.lane, needs_engine=True, attempts=2)
def generate(request: VideoRequest, *, services: "Services", job: Job = SILENT) -> VideoResult:
    """The film for *request*, kept as the owner's of *job*; nothing after an error.

    Raises NotFound for a model or a picture that is not there, Unavailable for a model that is not installed
    or has no key, and what the model raises.
    """
    route = generation.resolve(request, services=services, owner=job.owner)
    generation.bound(request, services)
    source = generation.source(request, services, job)
    maker = generation.opened(route, VideoModel, video_provider, services)
    with maker as model, services.files.batch(owner=job.owner, job_id=job.id) as batch:
        draft = batch.draft("video", ".mp4")
        shot = model.film(request, target=draft.part, source=source, job=job)
        job.check()
        return _describe(request, route, shot, draft, _inspect(draft))


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
