"""Many answers at once: every piece arrives, one that fails ends all, and who leaves is not waited for."""

import threading
from collections.abc import Iterator

import pytest

from services.contracts.chat import ChatDelta, ChatMessage, ChatRequest
from services.errors import Invalid
from services.side_by_side import stream_all


def requests(count: int) -> list[ChatRequest]:
    return [ChatRequest(messages=[ChatMessage(role="user", content=str(number))]) for number in range(count)]


def test_every_piece_arrives_under_its_number() -> None:
    def ask(request: ChatRequest) -> Iterator[list[ChatDelta]]:
        for letter in "abc":
            yield [ChatDelta(text=request.messages[0].text + letter)]
            yield []

    texts = [""] * 5
    for batch in stream_all(ask, requests(5), at_once=2):
        for number, delta in batch:
            texts[number] += delta.text
    assert texts == [f"{n}a{n}b{n}c" for n in range(5)]


def test_so_many_and_no_more_run_at_once() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def ask(request: ChatRequest) -> Iterator[list[ChatDelta]]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        yield [ChatDelta(text="x")]
        with lock:
            running -= 1

    list(stream_all(ask, requests(20), at_once=3))
    assert 1 <= most <= 3
    assert running == 0


def test_the_first_that_fails_ends_all_of_them() -> None:
    begun, ended = [], []

    def ask(request: ChatRequest) -> Iterator[list[ChatDelta]]:
        number = int(request.messages[0].text)
        begun.append(number)
        try:
            while number != 1:
                yield []
            raise Invalid("messages", "No.", "否。")
        finally:
            ended.append(number)

    with pytest.raises(Invalid):
        list(stream_all(ask, requests(3), at_once=3))
    assert 1 in ended
    assert sorted(ended) == sorted(begun)


def test_closing_it_ends_those_that_run_and_begins_no_more() -> None:
    begun, ended = [], []

    def ask(request: ChatRequest) -> Iterator[list[ChatDelta]]:
        begun.append(request)
        try:
            while True:
                yield [ChatDelta(text="x")]
        finally:
            ended.append(request)

    stream = stream_all(ask, requests(9), at_once=2)
    assert next(batch for batch in stream if batch)
    stream.close()  # type: ignore[attr-defined]
    assert len(begun) == len(ended) <= 2
