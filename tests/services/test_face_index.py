"""The index of faces: exact, as new as the database whoever wrote, and bounded in memory; over both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from services import face_store
from services.database import Database
from services.face_index import FaceIndexes
from services.face_store import NewPhoto, Registered
from services.tables.faces import FaceRemovalTable, FaceTable
from tests.bench import faces as bench

LIN, MO = "user-1", "user-2"
MODEL = "dlib-faces@0.3.0"


def face(seed: int, *, near: int | None = None) -> bytes:
    """An embedding by chance, or one that is almost that of *near*."""
    row = np.random.default_rng(seed).normal(size=128) / 8
    if near is not None:
        row = np.frombuffer(face(near), "<f4") + row / 50
    return row.astype("<f4").tobytes()


def register(database: Database, name: str, embedding: bytes, *, owner: str = LIN, model: str = MODEL) -> Registered:
    done = face_store.add_photo(NewPhoto(owner, name, None, model, embedding), database=database)
    assert done
    return done


def forget(database: Database, face_id: str) -> Any:
    return face_store.remove(FaceTable.id == face_id, database=database)


def names(indexes: FaceIndexes, database: Database, *embeddings: bytes, owner: str = LIN, model: str = MODEL) -> Any:
    found = indexes.nearest(owner, model, list(embeddings))
    known = face_store.names({near.face_id for near in found if near}, database=database)
    return [known[near.face_id] if near else None for near in found]


def test_the_nearest_is_told_with_its_distance(database: Database) -> None:
    indexes = FaceIndexes(database)
    assert indexes.nearest(LIN, MODEL, [face(1)]) == [None]
    ids = [register(database, f"person {seed}", face(seed)).face_id for seed in range(5)]
    for seed, near in enumerate(indexes.nearest(LIN, MODEL, [face(100 + seed, near=seed) for seed in range(5)])):
        assert near and near.face_id == ids[seed]
        asked = np.frombuffer(face(100 + seed, near=seed), "<f4").astype(float)
        assert near.distance == pytest.approx(np.linalg.norm(asked - np.frombuffer(face(seed), "<f4")), rel=1e-9)


def test_it_follows_what_others_write(database: Database) -> None:
    here, there = FaceIndexes(database), FaceIndexes(database)
    first = register(database, "first", face(1))
    assert names(here, database, face(1)) == names(there, database, face(1)) == ["first"]
    register(database, "second", face(2))
    register(database, "first", face(3))
    assert names(here, database, face(2), face(3), face(1)) == ["second", "first", "first"]
    assert forget(database, first.face_id)[0].model_dump() == {"faces": 1, "embeddings": 2, "files": 0}
    assert names(here, database, face(1), face(3)) == names(there, database, face(1), face(3)) == ["second"] * 2
    register(database, "first", face(1))
    assert names(here, database, face(1)) == names(there, database, face(1)) == ["first"]


def test_nobody_is_left(database: Database) -> None:
    indexes = FaceIndexes(database)
    only = register(database, "only", face(1))
    assert names(indexes, database, face(1)) == ["only"]
    forget(database, only.face_id)
    assert indexes.nearest(LIN, MODEL, [face(1)]) == FaceIndexes(database).nearest(LIN, MODEL, [face(1)]) == [None]


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_an_index_that_is_far_behind_is_read_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(face_store, "KEPT_REMOVALS", kept)
    indexes = FaceIndexes(database)
    ids = [register(database, str(number), face(number)).face_id for number in range(6)]
    register(database, "0", face(10))
    assert names(indexes, database, face(0), face(10)) == ["0", "0"]
    for number in (0, 2, 4):
        forget(database, ids[number])
    register(database, "new", face(4))
    found = indexes.nearest(LIN, MODEL, [face(1), face(3), face(5), face(4)])
    assert [near and round(near.distance, 6) for near in found] == [0, 0, 0, 0]
    assert indexes.nearest(LIN, MODEL, [face(0), face(10)]) == FaceIndexes(database).nearest(
        LIN, MODEL, [face(0), face(10)]
    )
    assert names(indexes, database, face(4)) == ["new"]
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(FaceRemovalTable)) <= max(kept, 0)


def test_owners_and_models_are_never_mixed(database: Database) -> None:
    indexes = FaceIndexes(database)
    register(database, "hers", face(1))
    register(database, "his", face(2, near=1), owner=MO)
    register(database, "measured anew", face(3, near=1), model="dlib-faces@0.4.0")
    assert names(indexes, database, face(1)) == ["hers"]
    assert names(indexes, database, face(1), owner=MO) == ["his"]
    assert names(indexes, database, face(1), model="dlib-faces@0.4.0") == ["measured anew"]
    assert indexes.nearest(MO, "dlib-faces@0.4.0", [face(1)]) == [None]
    face_store.remove(FaceTable.owner == MO, database=database)
    assert names(indexes, database, face(1)) == ["hers"]


def test_photos_of_many_writers_are_all_found(database: Database) -> None:
    """Each waits for the others, so that no version is seen before an earlier one."""
    indexes, begin = FaceIndexes(database), threading.Barrier(5)

    def write(writer: int) -> None:
        begin.wait(30)
        for number in range(8):
            register(database, f"{writer % 2}", face(writer * 100 + number))

    def read() -> None:
        begin.wait(30)
        for _ in range(20):
            indexes.nearest(LIN, MODEL, [face(1)])

    with ThreadPoolExecutor(5) as pool:
        for done in [*(pool.submit(write, writer) for writer in range(4)), pool.submit(read)]:
            done.result()
    asked = [face(writer * 100 + number) for writer in range(4) for number in range(8)]
    assert [near and round(near.distance, 6) for near in indexes.nearest(LIN, MODEL, asked)] == [0] * 32
    assert sorted(set(names(indexes, database, *asked))) == ["0", "1"]


def test_who_is_removed_while_photos_come_is_removed(database: Database) -> None:
    """A photo that was added to somebody who goes leaves no row and no file behind."""
    begin = threading.Barrier(2)
    files: list[str] = []

    def add() -> None:
        begin.wait(30)
        for number in range(20):
            photo = NewPhoto(LIN, "again", None, MODEL, face(number), f"{number}.png")
            assert face_store.add_photo(photo, database=database)

    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add)
        begin.wait(30)
        while not adding.done():
            files += face_store.remove(FaceTable.owner == LIN, database=database)[1]
        adding.result()
    files += face_store.remove(FaceTable.owner == LIN, database=database)[1]
    assert sorted(files) == sorted(f"{number}.png" for number in range(20))
    assert FaceIndexes(database).nearest(LIN, MODEL, [face(1)]) == [None]


def test_the_same_photo_twice_is_one(database: Database) -> None:
    first, second = (register(database, "one", face(1)) for _ in range(2))
    assert (first.added, second.added, second.photos) == (True, False, 1)


def test_faces_that_are_almost_equal_are_told_apart(services: Any) -> None:
    """Float32 alone would not: its products are off by more than these distances."""
    database, indexes = services.database, FaceIndexes(services.database)
    middle = np.frombuffer(face(1), "<f4").astype(float) * 3
    step = np.zeros(128)
    step[0] = 1e-5
    rows = {name: (middle + step * number).astype("<f4").tobytes() for number, name in enumerate("abcde")}
    for name, embedding in rows.items():
        register(database, name, embedding)
    assert names(indexes, database, *rows.values()) == [*rows]


def test_it_is_exact(services: Any) -> None:
    database, indexes = services.database, FaceIndexes(services.database)
    rows, asked = bench.faces(3000, seed=1), bench.faces(40, seed=2)
    bench.fill(database, rows, owner=LIN)
    by_hand = [int(np.linalg.norm(rows.astype(float) - one.astype(float), axis=1).argmin()) for one in asked]
    assert names(indexes, database, *[one.tobytes() for one in asked]) == [str(number) for number in by_hand]


def test_the_longest_unused_index_leaves(services: Any) -> None:
    database = services.database
    for owner in (LIN, MO, "user-3"):
        for seed in range(3):
            register(database, str(seed), face(seed), owner=owner)
    # An embedding, its square and its version; room is made for 64 at least.
    one = 64 * (128 * 4 + 4 + 8)
    indexes = FaceIndexes(database, most_bytes=one + 1000)
    for owner in (LIN, MO, LIN, "user-3"):
        assert names(indexes, database, face(1), owner=owner) == ["1"]
    assert indexes.size_bytes == one
    assert names(indexes, database, face(2), owner=MO) == ["2"]
