"""The classifier called directly: what `bench-recognition` compares the service with.

    python -m tests.bench.look MODELS_DIR MODEL

Reads plans such as `{"file": "photo.jpg", "together": 32, "seconds": 3}` from standard input, one a line, and answers
each with a line of figures. Each picture is read from the bytes of its file, as the service reads it.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from services import pictures
from services.catalog import Catalog
from services.engines.classifier import Classifier
from services.settings import Settings
from tests.bench.load import Seen, summary


@contextmanager
def opened(models: Path, name: str) -> Iterator[Classifier]:
    """The loaded engine of the model called *name*."""
    settings = Settings(models_dir=models)
    catalog = Catalog(settings)
    row = catalog.find(name)
    engine = Classifier(row, catalog.path(row), settings)
    engine.load()
    yield engine
    engine.unload()


def measure(engine: Classifier, plan: dict[str, Any]) -> Seen:
    """What it is to read and classify *together* pictures at a time; `times` are those of a whole batch."""
    seen, until = Seen(), time.perf_counter() + plan["seconds"]
    data, most = Path(plan["file"]).read_bytes(), engine.settings.max_image_pixels
    while (started := time.perf_counter()) < until:
        looks = [engine.prepare(pictures.read(data, max_pixels=most)) for _ in range(plan["together"])]
        seen.pieces += len(engine.look(looks))
        ended = time.perf_counter()
        seen.times.append((ended - started) * 1000)
        seen.note(started, ended)
    return seen


def main() -> None:
    with opened(Path(sys.argv[1]), sys.argv[2]) as engine:
        print("{}", flush=True)
        for line in sys.stdin:
            print(orjson.dumps(summary(measure(engine, orjson.loads(line)))).decode(), flush=True)


if __name__ == "__main__":
    main()
