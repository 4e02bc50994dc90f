"""An answer's head and the beginning of its body are one send, and a start reads what is installed once."""

import socket
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import gevent
import pytest
from gunicorn.workers.ggevent import GeventWorker

from backend.gunicorn_worker import JoinedSends, Worker, entry_points_read_once


def test_connections_take_turns(monkeypatch: pytest.MonkeyPatch, wire: tuple[JoinedSends, socket.socket]) -> None:
    order: list[str] = []
    monkeypatch.setattr(GeventWorker, "handle_request", lambda _self, _name, _req, _sock, who: order.append(who))
    worker = object.__new__(Worker)

    def ask_at_once(who: str) -> None:
        for _ in range(3):
            worker.handle_request("listener", None, wire[1], who)

    gevent.joinall([gevent.spawn(ask_at_once, who) for who in ("ann", "bob")], raise_error=True)
    assert order == ["ann", "bob"] * 3


@pytest.fixture
def wire() -> Iterator[tuple[JoinedSends, socket.socket]]:
    """Our end, as an answer is written to it, and the client's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # Each send stays a message of its own.
    theirs.settimeout(5)
    yield JoinedSends(ours), theirs
    ours.close()
    theirs.close()


def test_head_and_body_are_one_send(wire: tuple[JoinedSends, socket.socket]) -> None:
    ours, theirs = wire
    for data in (b"head ", b"first ", b"second"):
        ours.sendall(data)
    assert [theirs.recv(100), theirs.recv(100)] == [b"head first ", b"second"]


def test_a_large_body_is_not_copied(wire: tuple[JoinedSends, socket.socket]) -> None:
    ours, theirs = wire
    ours.sendall(b"head")
    ours.sendall(b"x" * 70_000)
    assert [theirs.recv(100_000), len(theirs.recv(100_000))] == [b"head", 70_000]


def test_a_head_alone_is_sent_at_the_end(wire: tuple[JoinedSends, socket.socket]) -> None:
    ours, theirs = wire
    ours.sendall(b"head")
    ours.flush()
    ours.flush()
    assert theirs.recv(100) == b"head"


def test_any_other_use_sends_the_head_first(wire: tuple[JoinedSends, socket.socket]) -> None:
    ours, theirs = wire
    ours.sendall(b"head")
    ours.shutdown(socket.SHUT_WR)
    assert [theirs.recv(100), theirs.recv(100)] == [b"head", b""]


def test_what_is_installed_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, times = metadata.distributions, []

    def count(**about: Any) -> Any:
        times.append(about)
        return read(**about)

    plain = metadata.entry_points
    expected = plain(group="console_scripts")
    monkeypatch.setattr(metadata, "distributions", count)
    with entry_points_read_once():
        assert set(metadata.entry_points(group="console_scripts")) == set(expected)
        assert not set(metadata.entry_points(group="nobody listens here"))
    assert len(times) == 1 and len(expected) > 5
    assert metadata.entry_points is plain
