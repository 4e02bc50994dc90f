"""The history over both databases."""

from pathlib import Path

import pytest

from services import history as keeping
from services.assemble import Services
from services.contracts.accounts import Identity
from services.contracts.history import HistoryEntry, HistoryQuery, HistoryRow
from services.domains import history
from services.errors import NotFound

LIN = Identity("user-1", "lin", "user")
MO = Identity("user-2", "mo", "user")


def address(number: int) -> str:
    return f"/outputs/images/{number:032x}.png"


def record(services: Services, *numbers: int, owner: Identity = LIN, prompt: str = "a cat") -> HistoryRow:
    folder = services.settings.data_dir / "outputs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / address(number).rpartition("/")[2]).write_bytes(b"a picture")
    urls = [address(number) for number in numbers]
    entry = HistoryEntry(owner.id, prompt, urls, "qwen-image", "dashscope", {"seed": 7, "nested": {"a": [1, None]}})
    return keeping.record(entry, database=services.database)


def pictures(services: Services) -> list[Path]:
    return sorted((services.settings.data_dir / "outputs" / "images").iterdir())


def test_a_row_comes_back_as_it_was(stored: Services) -> None:
    made = record(stored, 1, 2, prompt="a \0cat 🐈 你好")
    assert made.prompt == "a cat 🐈 你好"
    (row,) = history.list_(HistoryQuery(), services=stored, identity=LIN).history
    assert row == made
    assert history.show(made.id, services=stored, identity=LIN) == made
    with pytest.raises(NotFound):
        history.show(made.id, services=stored, identity=MO)


def test_files_that_nothing_else_shows_go(stored: Services) -> None:
    first, second = record(stored, 1, 2), record(stored, 2, 3)
    history.remove(first.id, services=stored, identity=LIN)
    assert [path.name for path in pictures(stored)] == [address(2)[16:], address(3)[16:]]
    history.remove(second.id, services=stored, identity=LIN)
    assert pictures(stored) == []


def test_clear_leaves_others_alone(stored: Services) -> None:
    record(stored, 1, 2)
    record(stored, *range(100, 1700))
    record(stored, 2, 3, owner=MO)
    history.clear(services=stored, owner=LIN.id)
    assert [path.name for path in pictures(stored)] == [address(2)[16:], address(3)[16:]]
    assert history.list_(HistoryQuery(), services=stored, identity=LIN).count == 0
    assert history.list_(HistoryQuery(), services=stored, identity=MO).count == 1


def test_pages_follow_each_other(stored: Services) -> None:
    made = [record(stored, number).id for number in range(5)]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = history.list_(HistoryQuery(limit=2, after=after), services=stored, identity=LIN)
        seen += [row.id for row in page.history]
        after = page.next
        if after is None:
            break
    assert seen == made[::-1]
