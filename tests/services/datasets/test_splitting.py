"""A seeded order of any number of rows, exact cuts, doubles and groups."""

from collections import Counter
from pathlib import Path

import pytest

from services.datasets import splitting
from services.datasets.splitting import Order

RATIOS = (0.8, 0.1, 0.1)


def ordered(folder: Path, keys: list[bytes], memory_bytes: int = splitting.MEMORY_BYTES) -> list[bytes]:
    """The numbers of rows with *keys*, in order."""
    order = Order(folder, memory_bytes=memory_bytes)
    for number, key in enumerate(keys):
        order.add(key, b"%d" % number)
    found = [data for _, data in order]
    order.close()
    assert list(folder.iterdir()) == []
    return found


def test_files_give_the_same_order_as_memory(tmp_path: Path) -> None:
    key = splitting.keys(7)
    keys = [key(b"%d" % number) for number in range(5000)]
    expected = [b"%d" % number for number in sorted(range(5000), key=lambda number: keys[number])]
    assert ordered(tmp_path, keys) == expected
    # 5,000 rows take a megabyte: these bounds part them once, and again.
    for memory_bytes in (200_000, 2_000, 1):
        assert ordered(tmp_path, keys, memory_bytes) == expected


def test_equal_keys_keep_their_order_however_many(tmp_path: Path) -> None:
    keys = [bytes(16)] * 3000 + [b"\1" * 16]
    for memory_bytes in (10_000_000, 1000):
        assert ordered(tmp_path, keys, memory_bytes) == [b"%d" % number for number in range(3001)]


def test_the_seed_decides(tmp_path: Path) -> None:
    one, again, other = ([splitting.keys(seed)(b"%d" % n) for n in range(100)] for seed in (1, 1, 2))
    assert ordered(tmp_path, one) == ordered(tmp_path, again) != ordered(tmp_path, other)


@pytest.mark.parametrize(
    ("rows", "ratios", "expected"),
    [
        (8000, RATIOS, (6400, 800, 800)),
        (1_000_000, (0.9, 0.05, 0.05), (900_000, 50_000, 50_000)),
        (10, RATIOS, (8, 1, 1)),
        (1, RATIOS, (1, 0, 0)),
        (7, (1.0, 0.0, 0.0), (7, 0, 0)),
        (7, (0.0, 0.0, 1.0), (0, 0, 7)),
        (3, (1 / 3, 1 / 3, 1 / 3), (1, 1, 1)),
        (0, RATIOS, (0, 0, 0)),
    ],
)
def test_counts_are_exact(rows: int, ratios: tuple[float, float, float], expected: tuple[int, int, int]) -> None:
    assert splitting.counts(rows, ratios) == expected
    order = [(b"%016d" % number, b"") for number in range(rows)]
    found = Counter(part for part, _ in splitting.parts(order, rows, ratios, together=False))
    assert tuple(found[part] for part in range(3)) == expected


def test_groups_stay_together(tmp_path: Path) -> None:
    order = Order(tmp_path)
    key = splitting.keys(3)
    for number in range(1000):
        order.add(key(b"%d" % (number % 30)), b"%d" % (number % 30))
    parts_of: dict[bytes, set[int]] = {}
    found = Counter()
    for part, data in splitting.parts(order, 1000, RATIOS, together=True):
        parts_of.setdefault(data, set()).add(part)
        found[part] += 1
    assert all(len(parts) == 1 for parts in parts_of.values())
    assert abs(found[0] - 800) < 35 and found[1] and found[2]


def test_doubles_are_told_apart_from_neighbours() -> None:
    rows = [(b"a", b"1"), (b"a", b"2"), (b"b", b"3"), (b"c", b"4"), (b"c", b"5")]
    assert list(splitting.distinct(rows)) == [(b"a", b"1"), (b"b", b"3"), (b"c", b"4")]


def test_nothing_gives_nothing(tmp_path: Path) -> None:
    assert ordered(tmp_path, []) == []
