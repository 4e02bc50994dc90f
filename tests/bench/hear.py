"""faster-whisper called directly: what `bench-transcription` compares the service with.

    python -m tests.bench.hear MODEL_DIR

Reads plans such as `{"file": "story.mp3"}` from standard input, one a line, and answers each with the seconds that
it took from the file to the last word, and the words.
"""

import sys
import time
from typing import Any

import orjson


def measure(model: Any, file: str) -> dict[str, Any]:
    started = time.perf_counter()
    segments, _ = model.transcribe(file, language="en", vad_filter=True)
    text = "".join(segment.text for segment in segments).strip()
    return {"seconds": time.perf_counter() - started, "text": text}


def main() -> None:
    from faster_whisper import WhisperModel

    from services.settings import Settings

    model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=Settings().cpu_threads)
    print("{}", flush=True)
    for line in sys.stdin:
        print(orjson.dumps(measure(model, orjson.loads(line)["file"])).decode(), flush=True)


if __name__ == "__main__":
    main()
