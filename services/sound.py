"""Sounds as files: what they are, how long they last, and their samples as models of speech want them.

Most of what FFmpeg knows by its bytes is read, the sound of a film too. Playlists and the like are not: they name other
files and addresses, which are not the sender's to read.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.errors import Invalid

if TYPE_CHECKING:
    import numpy
    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

    Samples = NDArray[numpy.float32]
    Block = NDArray[numpy.int16]

SAMPLE_RATE = 16_000
# What FFmpeg knows by its bytes, holds its sound itself, and is met outside of single games and devices: the reader of
# one game's format ended the process at a division by zero.
CONTAINERS = (
    "aac ac3 aiff amr ape asf ast au avi avr caf dsf dts dtshd dv eac3 flac flv gxf iff ircam matroska,webm mlp "
    "mov,mp4,m4a,3gp,3g2,mj2 mp3 mpc mpc8 mpeg mpegts mxf nistsphere nut ogg oma pvf qcp rm sox swf tak truehd tta voc "
    "w64 wav wv xwma"
)
OPTIONS = {"format_whitelist": CONTAINERS.replace(" ", ","), "protocol_whitelist": "file"}
# Those that say at their beginning how long they are; others are measured by their bytes, and a half looks whole.
TELL_LENGTH = {"aiff", "au", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mp3"}
# Encoders add a little silence.
PADDING_SECONDS = 0.5
# What may be missing at the end: some films end their sound a little early.
MISSING_SECONDS = 1.0
MISSING_SHARE = 0.05
GROUPED_SAMPLES = 500_000
# A window is cut at the quietest place of its last part, where hopefully nobody speaks.
CUT_SHARE = 0.2
QUIET_SECONDS = 0.4
STEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """What a sound is: its length, and its container and codec by FFmpeg's names."""

    seconds: float
    container: str
    codec: str


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a sound and where it begins."""

    start_seconds: float
    samples: "Samples"


def inspect(path: Path, *, max_seconds: float, field: str = "audio") -> SoundFacts:
    """What the sound in *path* is; its packets are counted and not decoded, a second or so for an hour.

    Raises Invalid for what is no sound, has none or no length, is cut off, or lasts over *max_seconds*.
    """
    with _opened(path, field) as (container, stream):
        tick = float(stream.time_base or 0)
        ticks = 0
        for packet in container.demux(stream):
            ticks += packet.duration or 0
            if ticks * tick > max_seconds + PADDING_SECONDS:
                raise _too_long(field, max_seconds)
        seconds = ticks * tick
        declared = _declared_seconds(path, container, stream)
        if not seconds:
            raise _empty(field)
        if declared and declared - seconds > max(MISSING_SECONDS, MISSING_SHARE * declared):
            raise _cut_off(field, seconds, declared)
        return SoundFacts(seconds, container.format.name, stream.codec_context.name)


def windows(path: Path, *, seconds: float, field: str = "audio") -> Iterator[Window]:
    """The sound in *path* as mono floats at `SAMPLE_RATE`, in pieces of at most *seconds*, of which one is held.

    A sound that is not longer is one piece. Raises Invalid when most of it cannot be decoded.
    """
    import numpy

    most, start, size = round(seconds * SAMPLE_RATE), 0, 0
    held: list[Block] = []
    for block in _blocks(path, field):
        held.append(block)
        size += len(block)
        while size > most:
            whole = numpy.concatenate(held)
            cut = _quietest(whole[:most])
            yield Window(start / SAMPLE_RATE, _floats(whole[:cut]))
            held, start, size = [whole[cut:].copy()], start + cut, size - cut
            del whole
    if size:
        yield Window(start / SAMPLE_RATE, _floats(numpy.concatenate(held)))


def _blocks(path: Path, field: str) -> Iterator["Block"]:
    """The samples of *path* as 16-bit integers, some seconds at a time."""
    with _opened(path, field) as (container, stream):
        # A radio's stream may go from stereo to mono, and a chain of Ogg files from one rate to another.
        for _, frames in groupby(_frames(container, stream, field), key=_form):
            yield from map(_integers, _resampled(frames))


def _resampled(frames: Iterable["AudioFrame"]) -> Iterator["AudioFrame"]:
    """*frames*, which are of one form, as 16-bit mono at `SAMPLE_RATE`."""
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    fifo = av.AudioFifo()
    for frame in frames:
        fifo.write(frame)
        # Handing over each frame by itself takes three times as long.
        if fifo.samples >= GROUPED_SAMPLES:
            yield from resampler.resample(fifo.read())
    if fifo.samples:
        yield from resampler.resample(fifo.read())
    yield from resampler.resample(None)


def _form(frame: "AudioFrame") -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _frames(container: "InputContainer", stream: "AudioStream", field: str) -> Iterator["AudioFrame"]:
    """What can be decoded of *stream*; what is broken is passed over, unless it is more than half."""
    import av

    told_seconds = decoded_seconds = 0.0
    for packet in container.demux(stream):
        told_seconds += float((packet.duration or 0) * (stream.time_base or 0))
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            decoded_seconds += frame.samples / frame.sample_rate
            # Times of a broken file jump; the samples follow one another all the same.
            frame.pts = None
            yield frame
    if decoded_seconds < told_seconds / 2:
        raise _broken(field)


@contextmanager
def _opened(path: Path, field: str) -> "Iterator[tuple[InputContainer, AudioStream]]":
    """The container in *path* and its first sound. What FFmpeg says inside of it is Invalid."""
    import av

    try:
        with av.open(str(path), metadata_errors="ignore", options=OPTIONS) as container:
            if not container.streams.audio:
                raise _no_sound(field)
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise _broken(field)
            yield container, stream
    except (av.FFmpegError, ValueError, IndexError) as error:
        # PyAV says ValueError for some headers that no sound has, and IndexError where a stream begins in the middle.
        raise _broken(field) from error


def _declared_seconds(path: Path, container: "InputContainer", stream: "AudioStream") -> float | None:
    """How long the file says that its sound is, where it does."""
    name = container.format.name
    if name not in TELL_LENGTH or (name == "mp3" and not _has_length_tag(path)):
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1
    return container.duration / 1_000_000 if alone and container.duration else None


def _has_length_tag(path: Path) -> bool:
    """Whether an MP3 says in its first frame how many follow; else its length is guessed from its bitrate.

    Source: "MP3 tags", the Xing and Info headers; ID3v2 (id3.org), section 3.1, for what stands before.
    """
    with path.open("rb") as file:
        head = file.read(10)
        skipped = 0
        if head[:3] == b"ID3" and len(head) == 10:
            skipped = 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        file.seek(skipped)
        first_frame = file.read(2048)
    return b"Xing" in first_frame or b"Info" in first_frame


def _quietest(block: "Block") -> int:
    """Where in the last part of *block* it is quietest for a moment, as a number of samples."""
    import numpy

    step = round(STEP_SECONDS * SAMPLE_RATE)
    first = round(len(block) * (1 - CUT_SHARE))
    steps = (len(block) - first) // step
    if steps < 2:
        return len(block)
    squares = block[first : first + steps * step].astype(numpy.float32) ** 2
    width = min(steps, round(QUIET_SECONDS / STEP_SECONDS))
    loudness = numpy.convolve(squares.reshape(steps, step).mean(axis=1), numpy.ones(width), mode="valid")
    # Of equally quiet places the last, so that there are as few windows as can be.
    last = len(loudness) - 1 - int(loudness[::-1].argmin())
    return first + last * step + width * step // 2


def _integers(frame: "AudioFrame") -> "Block":
    import numpy

    return frame.to_ndarray().reshape(-1).astype(numpy.int16, copy=False)


def _floats(block: "Block") -> "Samples":
    import numpy

    return block.astype(numpy.float32) / 32768.0


def _error(field: str, en: str, zh: str, reason: str, **values: Any) -> Invalid:
    return Invalid(field, en, zh, reason=reason, **values)


def _broken(field: str) -> Invalid:
    return _error(
        field,
        "The sound cannot be decoded; send a whole wav, mp3, m4a, ogg, webm or flac file.",
        "无法解码该音频，请发送完整的 wav、mp3、m4a、ogg、webm 或 flac 文件。",
        "broken",
    )


def _no_sound(field: str) -> Invalid:
    return _error(field, "The file holds no sound.", "文件中没有音频。", "no_sound")


def _empty(field: str) -> Invalid:
    return _error(field, "The sound has no length: it holds no samples.", "音频长度为 0，不含任何采样。", "empty")


def _too_long(field: str, max_seconds: float) -> Invalid:
    return _error(
        field,
        "The sound is longer than {most} minutes, which is the most that is taken here; send it in pieces.",
        "音频超过此处允许的最长 {most} 分钟，请分段发送。",
        "too_long",
        most=round(max_seconds / 60, 1),
    )


def _cut_off(field: str, seconds: float, declared: float) -> Invalid:
    return _error(
        field,
        "The sound is cut off: {seconds} of its {declared} seconds are there; send the whole file.",
        "音频不完整：共 {declared} 秒，仅有 {seconds} 秒，请发送完整文件。",
        "truncated",
        seconds=round(seconds, 1),
        declared=round(declared, 1),
    )
