"""`make bench-faces`: how long it takes to find whose a face is among 1,000, 10,000 and 100,000.

    python -m tests.bench.faces [--sizes 1000,10000,100000] [--searches 200] [--json FILE]

What is timed is what a recognition does once its face is measured: the question to the database whether
anything is new, the search, and the name. Every answer is compared with distances in float64 by numpy, which
stand beside it as "numpy directly": the matrix already in memory, no database, no name.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
from sqlalchemy import insert

from backend.setup import migrate
from services import face_store
from services.database import Database, open_database
from services.face_index import FaceIndexes
from services.face_store import NewPhoto
from services.tables.faces import FaceIndexTable, FacePhotoTable, FaceTable
from services.usage import utc_now
from tests.bench import report

OWNER, MODEL = "user-1", "dlib-faces@0.3.0"
MOST_MS = 50
ROWS_A_WRITE = 5000
# dlib's embeddings are about as long as this, and strangers about 0.8 apart.
LENGTH = 1.4


def main() -> None:
    options = parse_options()
    sizes = [int(size) for size in options.sizes.split(",")]
    figures = {size: measure(size, options.searches) for size in sizes}
    labels = list(figures[sizes[0]])
    rows = [[label, *(report.shown(figures[size][label]) for size in sizes)] for label in labels]
    print(report.table(["", *(f"{size:,} faces" for size in sizes)], rows))
    slow = [size for size in sizes if figures[size]["search p99 ms"] > MOST_MS]
    print(f"p99 over {MOST_MS} ms: {', '.join(map(str, slow)) or 'nowhere'}")
    if options.json:
        Path(options.json).write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--json", help="a file for every figure")
    return parser.parse_args()


def measure(size: int, searches: int) -> dict[str, float]:
    """The figures of one size, in a database of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        database = open_database(f"sqlite:///{folder}/faces.db")
        migrate(database.engine)
        rows = faces(size, seed=1)
        fill(database, rows)
        try:
            return timed(database, rows, searches)
        finally:
            database.close()


def timed(database: Database, rows: Any, searches: int) -> dict[str, float]:
    indexes, asked = FaceIndexes(database), faces(searches, seed=2)
    loaded_ms, _ = clocked(lambda: recognize(indexes, database, asked[:1]))
    alone = [clocked(lambda one=one: recognize(indexes, database, one[None])) for one in asked]
    directly = [clocked(lambda one=one: by_numpy(rows, one)) for one in asked]
    wrong = sum(found != [names[0]] for (_, found), (_, names) in zip(alone, directly, strict=True))
    eight = [
        clocked(lambda start=start: recognize(indexes, database, asked[start : start + 8]))[0] for start in range(20)
    ]
    added = [clocked(lambda number=number: add_and_find(indexes, database, number))[0] for number in range(20)]
    removed_ms, _ = clocked(lambda: remove_and_find(indexes, database, asked[:1]))
    times = sorted(ms for ms, _ in alone)
    return {
        "first search, which loads, ms": loaded_ms,
        "search p50 ms": median(times),
        "search p99 ms": times[int(len(times) * 0.99)],
        "eight faces at once p50 ms": median(eight),
        "registered and found p50 ms": median(added),
        "removed and not found ms": removed_ms,
        "numpy directly p50 ms": median(ms for ms, _ in directly),
        "MiB in memory": indexes.size_bytes / 2**20,
        "errors": wrong,
    }


def faces(count: int, *, seed: int) -> Any:
    """Embeddings by chance, around one middle as real ones are."""
    numbers = np.random.default_rng(seed)
    middle = np.random.default_rng(0).normal(size=128)
    spread = numbers.normal(size=(count, 128))
    return (middle / np.linalg.norm(middle) * LENGTH * 0.9 + spread * LENGTH * 0.4 / np.sqrt(128)).astype("<f4")


def fill(database: Database, rows: Any, *, owner: str = OWNER) -> None:
    """Register one photo of as many persons as there are *rows*; the name of each is its number."""
    now, ids = utc_now(), [f"face_{number:016x}" for number in range(len(rows))]
    with database.write() as session:
        session.add(FaceIndexTable(owner=owner, model=MODEL, version=len(rows), removals=0))
    for start in range(0, len(rows), ROWS_A_WRITE):
        some = range(start, min(start + ROWS_A_WRITE, len(rows)))
        persons = [{"id": ids[row], "owner": owner, "name": str(row), "created_at": now} for row in some]
        photos = [
            {
                "id": f"photo-{row:016x}",
                "face_id": ids[row],
                "owner": owner,
                "model": MODEL,
                "version": row + 1,
                "embedding": rows[row].tobytes(),
                "created_at": now,
            }
            for row in some
        ]
        with database.write() as session:
            session.execute(insert(FaceTable), persons)
            session.execute(insert(FacePhotoTable), photos)


def recognize(indexes: FaceIndexes, database: Database, asked: Any) -> list[str]:
    """The names of those who are nearest to each of *asked*."""
    found = [near for near in indexes.nearest(OWNER, MODEL, [one.tobytes() for one in asked]) if near]
    names = face_store.names({near.face_id for near in found}, database=database)
    return [names[near.face_id] for near in found]


def by_numpy(rows: Any, asked: Any) -> list[str]:
    return [str(int(np.linalg.norm(rows.astype(np.float64) - asked.astype(np.float64), axis=1).argmin()))]


def add_and_find(indexes: FaceIndexes, database: Database, number: int) -> None:
    one = faces(1, seed=1000 + number)
    face_store.add_photo(NewPhoto(OWNER, f"new {number}", None, MODEL, one[0].tobytes()), database=database)
    assert recognize(indexes, database, one) == [f"new {number}"]


def remove_and_find(indexes: FaceIndexes, database: Database, asked: Any) -> None:
    (name,) = recognize(indexes, database, asked)
    face_store.remove(FaceTable.owner == OWNER, FaceTable.name == name, database=database)
    assert recognize(indexes, database, asked) != [name]


def clocked(deed: Callable[[], Any]) -> tuple[float, Any]:
    """How many milliseconds *deed* took, and what it gave."""
    started = time.perf_counter()
    result = deed()
    return (time.perf_counter() - started) * 1000, result


if __name__ == "__main__":
    main()
