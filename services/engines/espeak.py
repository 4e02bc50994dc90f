"""espeak-ng: a small formant synthesizer that speaks nearly every language, called as a C library.

The library and its data come with the package `espeakng-loader`, so its voices are always there.
Source: espeak-ng 1.52, `speak_lib.h`.
"""

import ctypes
import threading
from functools import cache
from typing import Any, ClassVar

from services.contracts.models import CatalogRow
from services.contracts.speech import Manner, Speaker
from services.engines import espeak_rows
from services.engines.base import Engine
from services.errors import ServiceError, Unavailable

SYNCHRONOUS = 2
DO_NOT_EXIT = 0x8000
UTF8 = 1
RATE = 1
OK = 0
# Within these its rate is what it says; the rest is done on the sound. So is the pitch, whose scale here is
# another one in each voice.
USUAL_WORDS_A_MINUTE, LEAST_WORDS, MOST_WORDS = 175, 100, 350
FEMALE_VARIANT = "f3"

Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Library:
    """The one espeak-ng of this process. It has one state, so that sentences take turns."""

    def __init__(self) -> None:
        import espeakng_loader

        self._turn = threading.Lock()
        self._pieces: list[bytes] = []
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        # The callback must live as long as the library may call it.
        self._callback = Heard(self._hear)
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate = int(self._library.espeak_Initialize(SYNCHRONOUS, 0, data, DO_NOT_EXIT))
        if self.sample_rate <= 0:
            raise _unusable()
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, *, words_a_minute: int) -> bytes:
        """*text* spoken by *voice*, as 16-bit samples; none where nothing in it is heard."""
        data = text.replace("\0", " ").encode() + b"\0"
        with self._turn:
            self._pieces = []
            if self._library.espeak_SetVoiceByName(voice.encode()) != OK:
                raise _no_voice(voice)
            self._library.espeak_SetParameter(RATE, words_a_minute, 0)
            self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, UTF8, None, None)
            self._library.espeak_Synchronize()
            pieces, self._pieces = self._pieces, []
        pcm = b"".join(pieces)
        return pcm if pcm.strip(b"\0") else b""

    def _hear(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, 2 * count))
        return 0


def library() -> Library:
    """espeak-ng, opened once however many ask at once. Raises Unavailable."""
    with _opening:
        return _open()


_opening = threading.Lock()


@cache
def _open() -> Library:
    try:
        return Library()
    except (ImportError, OSError, RuntimeError) as error:
        raise _unusable() from error


class Espeak(Engine, Speaker):
    """One language of espeak-ng, in a male and a female voice."""

    name: ClassVar[str] = "espeak"

    @classmethod
    def bundled_rows(cls) -> tuple[CatalogRow, ...]:
        return espeak_rows.rows()

    @property
    def memory_mb(self) -> float:
        return 5.0

    def load(self) -> None:
        self._library = library()

    def unload(self) -> None:
        """The library stays: it is small, and other languages use it."""

    @property
    def sample_rate(self) -> int:
        return self._library.sample_rate

    def own(self, manner: Manner) -> Manner:
        words = min(max(USUAL_WORDS_A_MINUTE * manner.speed, LEAST_WORDS), MOST_WORDS)
        return Manner(speed=words / USUAL_WORDS_A_MINUTE, gender=manner.gender)

    def say(self, sentence: str, manner: Manner) -> bytes:
        voice = self.row.upstream_model or self.row.id.removeprefix("espeak-")
        return self._library.say(
            sentence,
            f"{voice}+{FEMALE_VARIANT}" if manner.gender == "female" else voice,
            words_a_minute=round(USUAL_WORDS_A_MINUTE * manner.speed),
        )


def _no_voice(name: str) -> ServiceError:
    return Unavailable(
        "espeak-ng here has no voice {voice}; reinstall espeakng-loader.",
        "当前 espeak-ng 没有语音 {voice}，请重新安装 espeakng-loader。",
        details={"reason": "voice_missing"},
        voice=name,
    )


def _unusable() -> Unavailable:
    return Unavailable(
        "espeak-ng cannot be opened; reinstall the package espeakng-loader.",
        "无法加载 espeak-ng，请重新安装 espeakng-loader。",
        details={"reason": "library_missing"},
    )
