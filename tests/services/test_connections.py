"""Chunked answers: all that is there in one read, however it was cut; and looks that take nothing."""

import socket
import threading
from http.client import IncompleteRead

import pytest

from services.connections import PromptResponse, WatchedHTTPConnection, peek

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"5\r\nfirst\r\n6;name=value\r\nsecond\r\n0\r\nTrailer: one\r\n\r\n"


@pytest.fixture
def wire():
    """Both ends of a connection."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    yield ours, theirs
    ours.close()
    theirs.close()


def answer_on(ours: socket.socket) -> PromptResponse:
    response = PromptResponse(ours, method="GET")
    response.begin()
    return response


def test_what_arrived_together_is_one_read(wire) -> None:
    ours, theirs = wire
    theirs.sendall(HEAD + BODY)
    response = answer_on(ours)
    # The first read ends with what the head's read had taken along.
    read = [response.read1(65536), response.read1(65536)]
    assert read == [b"firstsecond", b""] and response.isclosed()


@pytest.mark.parametrize("cut", range(1, len(BODY)))
def test_a_cut_anywhere_loses_nothing(wire, cut: int) -> None:
    ours, theirs = wire
    theirs.sendall(HEAD + BODY[:cut])
    response = answer_on(ours)
    rest = threading.Timer(0.001, theirs.sendall, [BODY[cut:]])
    rest.start()
    read = b"".join(iter(lambda: response.read1(65536), b""))
    rest.join()
    assert read == b"firstsecond"


def test_a_read_gives_no_more_than_it_was_asked_for(wire) -> None:
    ours, theirs = wire
    theirs.sendall(HEAD + BODY)
    response = answer_on(ours)
    pieces = list(iter(lambda: response.read1(3), b""))
    assert b"".join(pieces) == b"firstsecond" and max(map(len, pieces)) <= 3


def test_a_part_of_a_chunk_is_not_held_back(wire) -> None:
    ours, theirs = wire
    theirs.sendall(HEAD + b"5\r\nfir")
    assert answer_on(ours).read1(65536) == b"fir"


@pytest.mark.parametrize("body", [b"", b"5\r\nfir", b"5\r\nfirst\r\n", b"0\r\n"])
def test_a_body_that_breaks_off_is_incomplete(wire, body: bytes) -> None:
    ours, theirs = wire
    theirs.sendall(HEAD + body)
    theirs.shutdown(socket.SHUT_WR)
    response = answer_on(ours)
    with pytest.raises(IncompleteRead):
        list(iter(lambda: response.read1(65536), b""))


@pytest.mark.parametrize("size", [b"-5", b"+5", b"0_5", b"0x5", b"five", b"\xff", b"5" * 70_000])
def test_a_size_that_is_none_is_incomplete(wire, size: bytes) -> None:
    ours, theirs = wire
    sender = threading.Thread(target=theirs.sendall, args=[HEAD + size + b"\r\nfirst\r\n"], daemon=True)
    sender.start()
    with pytest.raises(IncompleteRead):
        answer_on(ours).read1(65536)


def test_a_body_with_a_length_is_read_as_ever(wire) -> None:
    ours, theirs = wire
    theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
    response = answer_on(ours)
    assert [response.read1(65536), response.read1(65536)] == [b"first", b""]


@pytest.mark.parametrize("body_bytes", [10, 100_000])
def test_a_head_goes_out_with_its_body(body_bytes: int) -> None:
    ours, theirs = socket.socketpair()
    connection = WatchedHTTPConnection("localhost")
    connection.sock = ours
    reader = threading.Thread(target=connection.request, args=["POST", "/"], kwargs={"body": b"x" * body_bytes})
    with ours, theirs:
        reader.start()
        first = theirs.recv(1000)
        rest = b""
        while len(first + rest) < first.index(b"\r\n\r\n") + 4 + body_bytes:
            rest += theirs.recv(2**20)
        reader.join()
    assert (first + rest).partition(b"\r\n\r\n")[2] == b"x" * body_bytes
    assert (rest == b"") == (body_bytes == 10)


def test_a_look_takes_nothing_and_tells_silence_from_an_end(wire) -> None:
    ours, theirs = wire
    ours.settimeout(None)
    assert peek(ours) is None
    theirs.sendall(b"two")
    assert [peek(ours), peek(ours), ours.recv(10)] == [b"t", b"t", b"two"]
    theirs.close()
    assert peek(ours) == b""
    ours.close()
    assert peek(ours) == b""
