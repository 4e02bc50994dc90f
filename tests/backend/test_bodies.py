"""Large bodies on the running service: refused ones get their answer, and nobody else waits."""

import contextlib
import socket
import threading
import time

import pytest
import requests

from tests.live import LiveServer

MB = 2**20
HEAD = "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}\r\n\r\n"


def send(server: LiveServer, head: str, body: bytes) -> bytes:
    """What the server answers while or after *body* is sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        # It may hang up on us, which is its right once it has answered.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize(
    ("path", "status"), [("/api/chat/stream", b"413"), ("/nothing", b"404"), ("/api/v1/train", b"404")]
)
def test_a_large_body_that_is_refused_gets_its_answer(open_server: LiveServer, path: str, status: bytes) -> None:
    head = HEAD.format(path=path, length=f"Content-Length: {40 * MB}")
    answer = send(open_server, head, b" " * (40 * MB))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b'"error"' in answer


def test_a_chunked_body_without_end_is_refused(open_server: LiveServer) -> None:
    head = HEAD.format(path="/api/chat/stream", length="Transfer-Encoding: chunked")
    piece = b"100000\r\n" + b" " * MB + b"\r\n"
    answer = send(open_server, head, piece * 30)
    assert answer.startswith(b"HTTP/1.1 413")


def test_others_are_served_meanwhile(open_server: LiveServer) -> None:
    head = HEAD.format(path="/nothing", length=f"Content-Length: {90 * MB}")
    threads = [threading.Thread(target=send, args=(open_server, head, b" " * (90 * MB))) for _ in range(3)]
    [thread.start() for thread in threads]
    slowest = 0.0
    while any(thread.is_alive() for thread in threads):
        started = time.monotonic()
        assert requests.get(f"{open_server.url}/healthz", timeout=10).status_code == 200
        slowest = max(slowest, time.monotonic() - started)
    # Without hanging up, one such body was seen to hold the worker for 4.6 s.
    assert slowest < 3
