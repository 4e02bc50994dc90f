"""Transcripts as files: plain text, SubRip (`.srt`) and WebVTT (`.vtt`).

Source of both formats: W3C, "WebVTT: The Web Video Text Tracks Format"; SubRip has no standard, its
players agree on what is written here.
"""

from collections.abc import Iterable
from html import escape

from services.contracts.transcription import Segment, TextFormat, TranscriptionResult

MEDIA_TYPES: dict[TextFormat, str] = {
    "json": "application/json",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "text": "text/plain",
}
# A cue of no length is not shown.
SHORTEST_MS = 10


def write(result: TranscriptionResult, form: TextFormat) -> str:
    """*result* in *form*, with a line's end at the end; of nothing said a valid empty file."""
    if form == "srt":
        return "\n".join(_srt_cues(result.segments))
    if form == "vtt":
        return "\n".join(["WEBVTT\n", *_vtt_cues(result.segments)])
    if form == "text":
        return f"{result.text}\n" if result.text else ""
    return result.model_dump_json()


def _srt_cues(segments: Iterable[Segment]) -> Iterable[str]:
    for number, segment in enumerate(segments, 1):
        start, end = _times(segment)
        yield f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{_one_line(segment.text)}\n"


def _vtt_cues(segments: Iterable[Segment]) -> Iterable[str]:
    for segment in segments:
        start, end = _times(segment)
        # `<` begins a tag and `&` a character reference in WebVTT, and `-->` must not stand in a text.
        text = escape(_one_line(segment.text), quote=False)
        yield f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n"


def _times(segment: Segment) -> tuple[int, int]:
    """Start and end in milliseconds, the end after the start."""
    start = round(max(segment.start, 0) * 1000)
    return start, max(round(segment.end * 1000), start + SHORTEST_MS)


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{rest:03}"


def _one_line(text: str) -> str:
    """*text* without line ends: an empty line would end the cue."""
    return " ".join(text.split())
