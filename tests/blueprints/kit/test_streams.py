"""Event streams: early errors keep their status, later ones are frames, silence is filled."""

import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from flask import Flask

from blueprints.kit import streams
from services.errors import NotFound, UpstreamFailed


@pytest.fixture
def tiny() -> Flask:
    app = Flask("tiny")
    app.extensions["services"] = SimpleNamespace(settings=SimpleNamespace(default_language="en"))
    return app


def encode(batch: list[str]) -> bytes:
    return b"".join(b"data: " + text.encode() + b"\n\n" for text in batch)


def run(app: Flask, produce: object) -> str:
    with app.test_request_context("/"):
        return streams.respond(produce, encode).get_data(as_text=True)  # type: ignore[arg-type]


def test_batches_become_frames(tiny: Flask) -> None:
    def produce() -> Iterator[list[str]]:
        yield ["a"]
        yield []
        yield ["b", "c"]

    assert run(tiny, produce) == "data: a\n\ndata: b\n\ndata: c\n\ndata: [DONE]\n\n"


def test_nothing_at_all_is_a_whole_stream(tiny: Flask) -> None:
    assert run(tiny, lambda: (batch for batch in [])) == "data: [DONE]\n\n"


def test_an_error_before_the_first_batch_is_raised(tiny: Flask) -> None:
    def produce() -> Iterator[list[str]]:
        raise NotFound("gone", "没有")
        yield []

    with pytest.raises(NotFound):
        run(tiny, produce)


def test_a_later_error_is_one_frame_before_the_end(tiny: Flask) -> None:
    def produce() -> Iterator[list[str]]:
        yield ["a"]
        raise UpstreamFailed("The provider broke.", "上游出错。")

    first, error, done, _ = run(tiny, produce).split("\n\n")
    assert first == "data: a"
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "UPSTREAM_ERROR"
    assert done == "data: [DONE]"


def test_an_unknown_error_shows_nothing_of_itself(tiny: Flask) -> None:
    def produce() -> Iterator[list[str]]:
        yield ["a"]
        raise RuntimeError("/secret/path sk-123456789")

    text = run(tiny, produce)
    assert "INTERNAL_ERROR" in text
    assert "secret" not in text and "sk-1" not in text


def test_silence_is_filled(tiny: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.01)
    go_on = threading.Event()

    def produce() -> Iterator[list[str]]:
        yield ["a"]
        assert go_on.wait(5)
        yield ["b"]

    with tiny.test_request_context("/"):
        response = streams.respond(produce, encode)
        pieces = iter(response.response)
        assert next(pieces) == b"data: a\n\n"
        assert next(pieces) == streams.HEARTBEAT
        go_on.set()
        assert b"".join(piece for piece in pieces if piece != streams.HEARTBEAT) == b"data: b\n\ndata: [DONE]\n\n"


def test_closing_the_response_ends_the_work(tiny: Flask) -> None:
    closed = threading.Event()

    def produce() -> Iterator[list[str]]:
        try:
            while True:
                yield ["x"]
        finally:
            closed.set()

    with tiny.test_request_context("/"):
        response = streams.respond(produce, encode)
        next(iter(response.response))
        response.close()
    assert closed.wait(5)
