"""Frames come out as they went in, however the connection cuts them."""

import socket
import threading
from collections.abc import Iterator

import pytest

from services.compute.frames import ANSWER, HEAD, PIECE, QUESTION, Frame, Frames


@pytest.fixture
def ends() -> Iterator[tuple[Frames, Frames]]:
    """Both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname(), timeout=10)
        theirs, _ = server.accept()
    theirs.settimeout(10)
    yield Frames(ours), Frames(theirs, most_bytes=2**20)
    ours.close()
    theirs.close()


def test_what_came_together_is_told_apart(ends: tuple[Frames, Frames]) -> None:
    ours, theirs = ends
    ours.connected.sendall(HEAD.pack(3, PIECE, True) + b"one" + HEAD.pack(0, PIECE, True) + HEAD.pack(1, ANSWER, False))
    assert [theirs.receive(), theirs.receive()] == [Frame(PIECE, b"one", True), Frame(PIECE, b"", True)]
    ours.connected.sendall(b"!")
    assert theirs.receive() == Frame(ANSWER, b"!", False)


def test_a_frame_may_come_byte_by_byte(ends: tuple[Frames, Frames]) -> None:
    ours, theirs = ends
    sent = HEAD.pack(11, QUESTION, True) + b"chat.reply\n"

    def drip() -> None:
        for at in range(len(sent)):
            ours.connected.sendall(sent[at : at + 1])

    thread = threading.Thread(target=drip)
    thread.start()
    assert theirs.receive() == Frame(QUESTION, b"chat.reply\n", True)
    thread.join()


def test_a_large_frame_comes_whole(ends: tuple[Frames, Frames]) -> None:
    ours, theirs = ends
    body = bytes(range(256)) * 4096
    thread = threading.Thread(target=ours.send, args=(ANSWER, body))
    thread.start()
    assert theirs.receive().body == body
    thread.join()


def test_a_frame_over_the_bound_is_not_waited_for(ends: tuple[Frames, Frames]) -> None:
    ours, theirs = ends
    ours.connected.sendall(HEAD.pack(2**20 + 1, QUESTION, True))
    with pytest.raises(ConnectionAbortedError, match="1048577"):
        theirs.receive()


@pytest.mark.parametrize("sent", [b"", b"\0\0", HEAD.pack(5, ANSWER, True) + b"four"])
def test_an_end_within_a_frame_or_before_it_is_an_error(ends: tuple[Frames, Frames], sent: bytes) -> None:
    ours, theirs = ends
    ours.connected.sendall(sent)
    ours.connected.close()
    with pytest.raises(ConnectionResetError):
        theirs.receive()
