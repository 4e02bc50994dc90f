"""Transcription: read the sound, let the model hear it piece by piece, and put together what was said."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services import routes, sound
from services.compute import child
from services.compute.progress import SILENT, Job
from services.compute.registry import Lane, function
from services.contracts.models import CatalogRow
from services.contracts.transcription import (
    HearingManner,
    Segment,
    Transcriber,
    TranscriptionPiece,
    TranscriptionRequest,
    TranscriptionResult,
    Word,
)
from services.errors import Invalid
from services.sound import SoundFacts, Window

if TYPE_CHECKING:
    from services.assemble import Services

# How a sound is kept until it was heard, whatever it is.
SOUND_SUFFIX = ".snd"
# What is decoded at once: longer sounds take no more memory than this.
WINDOW_SECONDS = 300.0
# A child is asked to end, and ended when it does not in this time.
WORD_SECONDS = 0.5


def lane(request: TranscriptionRequest, *, services: "Services", owner: str) -> Lane:
    """Where a job for *request* waits its turn: not behind trainings, which take hours.

    Raises what `resolve` raises, so that a wrong model is told before a job is made.
    """
    resolve(request, services=services, owner=owner)
    return "cpu"


def resolve(request: TranscriptionRequest, *, services: "Services", owner: str) -> CatalogRow:
    """The model for *request*. Raises NotFound, or Unavailable where it is not installed."""
    return routes.local(request.model, "transcription", services=services, owner=owner)


@function(lane="cpu", lane_of=lane, needs_engine=True, attempts=2)
def transcribe(request: TranscriptionRequest, *, services: "Services", job: Job = SILENT) -> TranscriptionResult:
    """What is said in a kept sound; a long one is heard in a process of its own, which can be ended at once.

    The sound goes when it was heard, or never can be; it stays for another attempt after other errors.
    Raises NotFound for a model or a sound that is not there, Unavailable, Cancelled, and Invalid for what is
    no sound, is broken or too long, and for a language that the model does not know.
    """
    resolve(request, services=services, owner=job.owner)
    try:
        facts = _inspect(request, services, job)
        if facts.seconds > services.settings.audio_child_seconds:
            result: TranscriptionResult = child.run(
                "transcription.hear", request, services=services, job=job, word_seconds=WORD_SECONDS
            )
        else:
            result = _hear(request, facts, services, job)
    except Invalid:
        services.files.forget([request.audio])
        raise
    services.files.forget([request.audio])
    return result


@function(lane="cpu", needs_engine=True)
def hear(request: TranscriptionRequest, *, services: "Services", job: Job = SILENT) -> TranscriptionResult:
    """What is said in a kept sound, heard here; `transcribe` runs it in a child. The sound stays."""
    return _hear(request, _inspect(request, services, job), services, job)


def _inspect(request: TranscriptionRequest, services: "Services", job: Job) -> SoundFacts:
    kept = services.files.find(request.audio, owner=job.owner or None)
    return sound.inspect(kept.path, max_seconds=services.settings.max_audio_seconds)


@function(lane="cpu", needs_engine=True)
def follow(request: TranscriptionRequest, *, services: "Services") -> Iterator[list[TranscriptionPiece]]:
    """What is said in a kept sound, segment by segment as it is heard, and all of it at the end. The sound stays.

    Who may hear it was asked before: by its owner's upload of this very request. Raises what `hear` raises.
    """
    for piece in _pieces(request, _inspect(request, services, SILENT), services, SILENT):
        yield [piece]


def _hear(request: TranscriptionRequest, facts: SoundFacts, services: "Services", job: Job) -> TranscriptionResult:
    *_, last = _pieces(request, facts, services, job)
    assert last.result is not None
    return last.result


def _pieces(
    request: TranscriptionRequest, facts: SoundFacts, services: "Services", job: Job
) -> Iterator[TranscriptionPiece]:
    """Each segment when it is heard, and the whole at the end."""
    row = resolve(request, services=services, owner=job.owner)
    path = services.files.find(request.audio, owner=job.owner or None).path
    manner = HearingManner(**request.model_dump(include=set(HearingManner.model_fields)))
    heard = list[Segment]()
    with services.pool.lease(row, lambda: services.catalog.path(row)) as engine:
        assert isinstance(engine, Transcriber)
        for window in sound.windows(path, seconds=WINDOW_SECONDS):
            job.progress(window.start_seconds / facts.seconds)
            hearing = engine.hear(window.samples, manner)
            manner.language = hearing.language
            for piece in hearing.pieces:
                heard.append(_placed(piece, window, len(heard)))
                job.progress(min(heard[-1].end / facts.seconds, 1))
                yield TranscriptionPiece(segment=heard[-1])
    yield TranscriptionPiece(result=_put_together(heard, manner.language, facts, row))


def _placed(piece: Segment, window: Window, number: int) -> Segment:
    """*piece* with its number and times in the whole sound."""
    start = window.start_seconds
    timed: list[Segment | Word] = [piece, *(piece.words or [])]
    for each in timed:
        each.start, each.end = round(each.start + start, 3), round(each.end + start, 3)
    piece.id = number
    return piece


def _put_together(
    heard: list[Segment], language: str | None, facts: SoundFacts, row: CatalogRow
) -> TranscriptionResult:
    text = "".join(piece.text for piece in heard).strip()
    for piece in heard:
        piece.text = piece.text.strip()
    return TranscriptionResult(
        text=text, language=language, duration=round(facts.seconds, 2), segments=heard, model=row.id
    )
