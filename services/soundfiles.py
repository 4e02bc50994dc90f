"""Sounds as files: MP3, WAV, Ogg Opus, AAC, FLAC or bare samples, written piece by piece in flat memory."""

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from services.contracts.speech import SoundFormat

if TYPE_CHECKING:
    import av

CODECS: dict[SoundFormat, str] = {
    "mp3": "libmp3lame",
    "wav": "pcm_s16le",
    "ogg": "libopus",
    "opus": "libopus",
    "aac": "aac",
    "flac": "flac",
    "pcm": "pcm_s16le",
}
# FFmpeg's names of what holds them, where they differ.
CONTAINERS: dict[SoundFormat, str] = {"opus": "ogg", "aac": "adts", "pcm": "s16le"}
LOSSLESS = {"wav", "flac", "pcm"}
MEDIA_TYPES: dict[SoundFormat, str] = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "pcm": "audio/pcm",
}
# Opus knows few rates, and its decoders give this one whatever went in.
# Bare samples do not say their rate; OpenAI's have this one.
RATES: dict[SoundFormat, int] = {"ogg": 48_000, "opus": 48_000, "pcm": 24_000}
# LAME's default takes twice the time for what nobody hears in speech.
OPTIONS: dict[SoundFormat, dict[str, str]] = {"mp3": {"compression_level": "7"}}
# Speech of one channel is clear at this; WAV has no choice.
BIT_RATE = 64_000
SLOWEST_TEMPO, FASTEST_TEMPO = 0.5, 2.0
BYTES_A_SAMPLE = 2
BLOCK_SAMPLES = 16_384


class SoundPipe:
    """Where a sound file is written that is read on its way: nothing is kept of what was taken, and nobody seeks."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


class SoundWriter:
    """A sound file in the making, of one channel: `with SoundWriter(path, "mp3", 22050) as sound: sound.write(…)`.

    *speed* and *pitch* (semitones) change what is written: the pitch by another sample rate, the tempo by
    shifting and adding, so that neither moves the other. For one thread. The file is whole after the block.
    """

    def __init__(
        self,
        target: Path | SoundPipe,
        sound_format: SoundFormat,
        sample_rate: int,
        *,
        speed: float = 1.0,
        pitch: float = 0.0,
    ) -> None:
        import av

        self._sample_rate = sample_rate
        self._given = self._encoded = 0
        self.sample_rate = RATES.get(sound_format, sample_rate)
        """Samples a second of the file."""
        place: Any = str(target) if isinstance(target, Path) else target
        self._container = av.open(place, "w", format=CONTAINERS.get(sound_format, sound_format))
        options = OPTIONS.get(sound_format, {})
        # The library's types know no audio stream that is made by its codec's name.
        stream: Any = self._container.add_stream(
            CODECS[sound_format], rate=self.sample_rate, layout="mono", options=options
        )
        if sound_format not in LOSSLESS:
            stream.bit_rate = BIT_RATE
        self._stream = stream
        self._graph = _graph(sample_rate, speed, pitch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._container.close()

    @property
    def seconds(self) -> float:
        """How long the sound in the file is, as a decoder gives it; final after the block."""
        return self._encoded / self._sample_rate

    def write(self, pcm: bytes) -> None:
        """Add *pcm*, 16-bit samples of one channel in the machine's order."""
        step = BLOCK_SAMPLES * BYTES_A_SAMPLE
        for start in range(0, len(pcm), step):
            frame = self._frame(pcm[start : start + step])
            for changed in self._changed(frame):
                self._encode(changed)

    def silence(self, seconds: float) -> None:
        """Add *seconds* in which nothing is heard."""
        self.write(bytes(BYTES_A_SAMPLE * round(seconds * self._sample_rate)))

    def _frame(self, pcm: bytes) -> "av.AudioFrame":
        import av

        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // BYTES_A_SAMPLE)
        # The plane may be longer than the samples, by padding.
        plane = frame.planes[0]
        plane.update(pcm + bytes(plane.buffer_size - len(pcm)))
        frame.sample_rate = self._sample_rate
        frame.pts = self._given
        self._given += frame.samples
        return frame

    def _changed(self, frame: "av.AudioFrame | None") -> "Iterator[av.AudioFrame]":
        if self._graph is None:
            if frame is not None:
                yield frame
            return
        import av

        self._graph.push(frame)
        while True:
            try:
                changed = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield changed

    def _encode(self, frame: "av.AudioFrame | None") -> None:
        if frame is not None:
            # The filters count in units of their own; the encoder counts samples by itself.
            frame.pts = None
            self._encoded += frame.samples
        self._container.mux(self._stream.encode(frame))

    def _finish(self) -> None:
        for changed in self._changed(None):
            self._encode(changed)
        self._encode(None)


def _graph(sample_rate: int, speed: float, pitch: float) -> Any:
    """Filters that change speed and pitch; None when neither is asked for."""
    if math.isclose(speed, 1.0, abs_tol=1e-3) and math.isclose(pitch, 0.0, abs_tol=1e-2):
        return None
    import av.filter

    graph = av.filter.Graph()
    nodes = [
        graph.add_abuffer(format="s16", sample_rate=sample_rate, layout="mono", time_base=Fraction(1, sample_rate))
    ]
    nodes += [graph.add(name, argument) for name, argument in _filters(sample_rate, speed, pitch)]
    nodes.append(graph.add("aformat", f"sample_fmts=s16:sample_rates={sample_rate}:channel_layouts=mono"))
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _filters(sample_rate: int, speed: float, pitch: float) -> Iterator[tuple[str, str]]:
    factor = 2 ** (pitch / 12)
    if factor != 1:
        yield "asetrate", str(round(sample_rate * factor))
        yield "aresample", str(sample_rate)
    for tempo in _tempos(speed / factor):
        yield "atempo", f"{tempo:.6f}"


def _tempos(wanted: float) -> list[float]:
    """*wanted* as a product of what one filter does without skipping samples."""
    tempos = []
    while wanted > FASTEST_TEMPO or wanted < SLOWEST_TEMPO:
        step = FASTEST_TEMPO if wanted > 1 else SLOWEST_TEMPO
        tempos.append(step)
        wanted /= step
    return [*tempos, wanted]
