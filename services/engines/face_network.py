"""dlib's network in a process of its own: it holds Python's lock while it computes, 0.1 s a face.

In the engine host every chat and every other model would stand still meanwhile. Chips go there and embeddings
come back through pipes; the process ends when its parent does, since its standard input closes then.
"""

import select
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from services.errors import Unavailable
from services.settings import ROOT

if TYPE_CHECKING:
    import numpy as np

    Pixels = np.ndarray[Any, Any]

CHIP_SIDE = 150
CHIP_BYTES = CHIP_SIDE * CHIP_SIDE * 3
EMBEDDING_BYTES = 128 * 4
COUNT = struct.Struct("<I")
READY = b"\x01"
START_SECONDS = 60
ANSWER_SECONDS = 60
END_SECONDS = 5
RETRY_SECONDS = 1.0
TRIES = 2
# What goes to the process at once: more takes as long each, and memory by the hundred MB.
MOST_TOGETHER = 16


class FaceNetwork:
    """The process with the weights in *file*. One thread at a time uses it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._weights = _identity(file)
        self._process: subprocess.Popen[bytes] | None = None
        self.replaced = False
        """Whether other weights were found in the place of the first, so that this one never measures again."""

    def start(self) -> None:
        """Start the process and wait until it has the weights. Raises Unavailable.

        Weights that were put in the place of the first are not taken: their embeddings would mean something else.
        """
        self.replaced = _identity(self._file) != self._weights
        if self.replaced:
            raise _died()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.engines.face_network", str(self._file)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        if self._read(len(READY), START_SECONDS) != READY:
            self.close()
            raise _died()

    def measure(self, chips: "Sequence[Pixels]") -> list[bytes]:
        """The embeddings of *chips* of 150×150 pixels, in float32, little endian.

        A process that died is started again. Raises Unavailable when that one dies too, or does not answer.
        """
        portions = [chips[start : start + MOST_TOGETHER] for start in range(0, len(chips), MOST_TOGETHER)]
        return [embedding for portion in portions for embedding in self._measure(portion)]

    def _measure(self, chips: "Sequence[Pixels]") -> list[bytes]:
        for _ in range(TRIES):
            if self._process is None:
                self.start()
            if answer := self._ask(chips):
                return [answer[start : start + EMBEDDING_BYTES] for start in range(0, len(answer), EMBEDDING_BYTES)]
            self.close()
        raise _died()

    def _ask(self, chips: "Sequence[Pixels]") -> bytes:
        """The process's answer, empty when it is not whole."""
        size_bytes = len(chips) * EMBEDDING_BYTES
        try:
            self._write(COUNT.pack(len(chips)) + b"".join(chip.tobytes() for chip in chips))
            answer = self._read(size_bytes, ANSWER_SECONDS)
        except OSError:
            return b""
        return answer if len(answer) == size_bytes else b""

    def close(self) -> None:
        """End the process; `measure` would start another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(END_SECONDS)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def _write(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._process.stdin.write(rest) :]

    def _read(self, size_bytes: int, seconds: float) -> bytes:
        """*size_bytes*, or fewer when the process died or was silent for *seconds*."""
        assert self._process is not None
        assert self._process.stdout is not None
        found, silence = b"", select.poll()
        silence.register(self._process.stdout, select.POLLIN)
        while len(found) < size_bytes and silence.poll(seconds * 1000):
            piece = self._process.stdout.read(size_bytes - len(found))
            if not piece:
                break
            found += piece
        return found


def main(file: str, asked: IO[bytes], answers: IO[bytes]) -> None:
    """What the process does: measure what is asked until nothing more is."""
    import dlib
    import numpy as np

    network = dlib.face_recognition_model_v1(file)
    answers.write(READY)
    answers.flush()
    while head := asked.read(COUNT.size):
        count = COUNT.unpack(head)[0]
        chips = np.frombuffer(asked.read(count * CHIP_BYTES), np.uint8).reshape(count, CHIP_SIDE, CHIP_SIDE, 3)
        for vector in network.compute_face_descriptor(list(chips)):
            answers.write(np.asarray(vector, "<f4").tobytes())
        answers.flush()


def _identity(file: Path) -> tuple[int, int, int] | None:
    """What is another's when *file* is replaced; None when it is gone."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _died() -> Unavailable:
    return Unavailable(
        "The process that measures faces died and is started again; try again in a moment.",
        "人脸特征进程异常退出，正在重新启动，请稍后重试。",
        retry_after_seconds=RETRY_SECONDS,
        details={"reason": "face_network_died"},
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
