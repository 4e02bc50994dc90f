"""The history over both databases."""

import pytest

from services import history as keeping
from services.assemble import Services
from services.contracts.accounts import Identity
from services.contracts.history import HistoryEntry, HistoryQuery, HistoryRow
from services.domains import history
from services.errors import Conflict, NotFound

LIN = Identity("user-1", "lin", "user")
MO = Identity("user-2", "mo", "user")


def keep(services: Services, owner: Identity = LIN) -> str:
    """Keep a picture; its address."""
    return services.files.keep(b"a picture", "images", ".png", owner=owner.id).url


def record(services: Services, *urls: str, owner: Identity = LIN, prompt: str = "a cat") -> HistoryRow:
    parameters = {"seed": 7, "nested": {"a": [1, None]}}
    entry = HistoryEntry(owner.id, prompt, list(urls), "qwen-image", "dashscope", parameters)
    return keeping.record(entry, database=services.database)


def pictures(services: Services) -> set[str]:
    return {f"/outputs/images/{path.name}" for path in services.files.folder("images").iterdir()}


def test_a_row_comes_back_as_it_was(stored: Services) -> None:
    made = record(stored, keep(stored), keep(stored), prompt="a \0cat 🐈 你好")
    assert made.prompt == "a cat 🐈 你好"
    (row,) = history.list_(HistoryQuery(), services=stored, identity=LIN).history
    assert row == made
    assert history.show(made.id, services=stored, identity=LIN) == made
    with pytest.raises(NotFound):
        history.show(made.id, services=stored, identity=MO)


def test_files_that_nothing_else_shows_go(stored: Services) -> None:
    one, both, other = keep(stored), keep(stored), keep(stored)
    first, second = record(stored, one, both), record(stored, both, other)
    history.remove(first.id, services=stored, identity=LIN)
    assert pictures(stored) == {both, other}
    history.remove(second.id, services=stored, identity=LIN)
    assert pictures(stored) == set()


def test_clear_leaves_others_alone(stored: Services) -> None:
    shared, theirs = keep(stored), keep(stored, MO)
    record(stored, keep(stored), shared)
    record(stored, keep(stored), *(f"/outputs/images/{number:032x}.png" for number in range(1600)))
    record(stored, shared, theirs, owner=MO)
    history.clear(services=stored, owner=LIN.id)
    assert pictures(stored) == {shared, theirs}
    assert history.list_(HistoryQuery(), services=stored, identity=LIN).count == 0
    assert history.list_(HistoryQuery(), services=stored, identity=MO).count == 1


def test_pages_follow_each_other(stored: Services) -> None:
    made = [record(stored, prompt=str(number)).id for number in range(5)]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = history.list_(HistoryQuery(limit=2, after=after), services=stored, identity=LIN)
        seen += [row.id for row in page.history]
        after = page.next
        if after is None:
            break
    assert seen == made[::-1]


def test_a_row_asks_for_its_pictures_again(services: Services) -> None:
    parameters = {
        "seed": 7,
        "width": 512,
        "height": None,
        "n": 2,
        "guidance_scale": 7.5,
        "unknown": 1,
        "config_id": "x",
    }
    entry = HistoryEntry(LIN.id, "a cat", [], "qwen-image", "dashscope", parameters)
    made = keeping.record(entry, database=services.database)
    asked = history.replay_request(made.id, services=services, identity=LIN)
    assert asked.model_dump(exclude_unset=True) == {
        "prompt": "a cat",
        "model_id": "qwen-image",
        "seed": 7,
        "width": 512,
        "n": 2,
        "guidance_scale": 7.5,
    }
    with pytest.raises(NotFound):
        history.replay_request(made.id, services=services, identity=MO)


def test_sides_that_nobody_may_ask_for_are_left_to_the_provider(services: Services) -> None:
    entry = HistoryEntry(LIN.id, "a cat", [], "qwen-image", "dashscope", {"seed": 7, "width": 1140, "height": 1472})
    made = keeping.record(entry, database=services.database)
    asked = history.replay_request(made.id, services=services, identity=LIN)
    assert (asked.seed, asked.width, asked.height) == (7, None, None)


def test_a_row_that_cannot_be_made_again_says_so(services: Services) -> None:
    entry = HistoryEntry(LIN.id, "", [], "qwen-image", "dashscope", {"n": "many"})
    made = keeping.record(entry, database=services.database)
    with pytest.raises(Conflict):
        history.replay_request(made.id, services=services, identity=LIN)
