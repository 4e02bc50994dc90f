"""Speech: choose the voice, let it say one sentence after another, and keep the sound."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from services import sentences, voices
from services.compute.progress import SILENT, Job
from services.compute.registry import Lane, function
from services.contracts.models import CatalogRow
from services.contracts.speech import Manner, Speaker, SpeechPiece, SpeechRequest, SpeechResult
from services.errors import Invalid
from services.files import KeptFile
from services.soundfiles import SoundPipe, SoundWriter
from services.voices import Voice

if TYPE_CHECKING:
    from services.assemble import Services

# Between two sentences, at the usual speed.
PAUSE_SECONDS = 0.25


def lane(request: SpeechRequest, *, services: "Services", owner: str) -> Lane:  # noqa: ARG001 - voices are everybody's
    """Where a job for *request* waits its turn: voices are small, and not to wait behind trainings, which take hours.

    Raises what `voices.choose` raises, so that a wrong voice or language is told before a job is made.
    """
    voices.choose(request, services=services)
    return "cpu"


@function(lane="cpu", lane_of=lane, needs_engine=True, attempts=2)
def synthesize(request: SpeechRequest, *, services: "Services", job: Job = SILENT) -> SpeechResult:
    """The text of *request* as a sound that is kept as the owner's of *job*; nothing of it after an error.

    Each sentence goes to the file as it is said. Raises NotFound, Unavailable and Invalid as `voices.choose`
    does, Invalid for a text in which nothing can be said, and Cancelled between two sentences.
    """
    voice = voices.choose(request, services=services)
    row = voice.row
    with (
        services.pool.lease(row, lambda: services.catalog.path(row)) as speaker,
        services.files.batch(owner=job.owner, job_id=job.id) as batch,
    ):
        assert isinstance(speaker, Speaker)
        draft = batch.draft("audio", f".{request.format}")
        sound = _write(request, voice, speaker, draft, job)
    return _describe(request, voice, draft, sound)


@function(lane="cpu", needs_engine=True)
def stream(request: SpeechRequest, *, services: "Services") -> Iterator[list[SpeechPiece]]:
    """The text of *request* as a sound file, sentence by sentence as it is said; nothing is kept.

    Raises what `synthesize` raises, before the first piece.
    """
    voice, pipe = voices.choose(request, services=services), SoundPipe()
    row = voice.row
    with services.pool.lease(row, lambda: services.catalog.path(row)) as speaker:
        assert isinstance(speaker, Speaker)
        with _writer(request, voice, speaker, pipe) as sound:
            for _ in _say(request, voice, speaker, sound, SILENT):
                if audio := pipe.take():
                    yield [SpeechPiece(audio=audio)]
        yield [SpeechPiece(audio=pipe.take())]


def _write(request: SpeechRequest, voice: Voice, speaker: Speaker, draft: KeptFile, job: Job) -> SoundWriter:
    """The sound, whole in the draft's part."""
    with _writer(request, voice, speaker, draft.part) as sound:
        for _ in _say(request, voice, speaker, sound, job):
            pass
    job.check()
    return sound


def _writer(request: SpeechRequest, voice: Voice, speaker: Speaker, target: Path | SoundPipe) -> SoundWriter:
    own = speaker.own(Manner(request.speed, request.pitch, voice.gender))
    speed, pitch = request.speed / own.speed, request.pitch - own.pitch
    return SoundWriter(target, request.format, speaker.sample_rate, speed=speed, pitch=pitch)


def _say(request: SpeechRequest, voice: Voice, speaker: Speaker, sound: SoundWriter, job: Job) -> Iterator[None]:
    """Write sentence after sentence; comes back after each in which something was said. Raises Invalid for none."""
    own = speaker.own(Manner(request.speed, request.pitch, voice.gender))
    parts = sentences.split(request.text)
    spoken = 0
    for number, sentence in enumerate(parts):
        job.progress(number / len(parts), sentence=number + 1, sentences=len(parts))
        pcm = speaker.say(sentence, own)
        if pcm and spoken:
            sound.silence(PAUSE_SECONDS / own.speed)
        sound.write(pcm)
        spoken += len(pcm)
        if spoken:
            yield
    if not spoken:
        raise _nothing_to_say()


def _describe(request: SpeechRequest, voice: Voice, draft: KeptFile, sound: SoundWriter) -> SpeechResult:
    return SpeechResult(
        name=draft.name,
        url=draft.url,
        media_type=draft.media_type,
        format=request.format,
        duration=round(sound.seconds, 3),
        sample_rate=sound.sample_rate,
        model=voice.row.id,
        language=voice.language,
        gender=voice.gender,
    )


def list_voices(*, services: "Services") -> list[CatalogRow]:
    """Every local voice, those that are installed first."""
    rows = [row for row in services.catalog.rows("speech") if row.local]
    return sorted(rows, key=lambda row: not services.catalog.installed(row))


def _nothing_to_say() -> Invalid:
    return Invalid(
        "text",
        "Nothing in the text can be said by this voice.",
        "文本中没有该语音可以朗读的内容。",
        reason="nothing_to_say",
    )
