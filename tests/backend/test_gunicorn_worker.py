"""An answer's head and the beginning of its body are one send."""

import socket
from collections.abc import Iterator

import pytest

from backend.gunicorn_worker import JoinedSends


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
