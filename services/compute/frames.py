"""Frames: what passes over a connection that the web keeps to the engine host.

A frame is a head of six bytes, which says how long its body is, what it is, and whether its sender keeps the
connection for another question; and the body. A question is the name of a function, a line's end, and its request.
What follows is any number of pieces and one answer or error, all as `wire.py` writes them; an empty piece says that
the other side is alive.

The web asks for such a connection by HTTP's own way to change the protocol (RFC 9110, section 7.8). A question
by HTTP took its head apart in Python on both sides and changed hands between three threads of the host: 2 ms more for
every call, which a picture that is classified alone waited for.
"""

import socket
import struct
from typing import NamedTuple

PROTOCOL = "polymath-frames"
QUESTION, PIECE, ANSWER, ERROR = b"?", b",", b".", b"!"
HEAD = struct.Struct(">Ic?")
READ_BYTES = 2**16
MOST_BYTES = 2**32 - 1


class Frame(NamedTuple):
    """What came: its kind, its body, and whether the other side keeps the connection after it."""

    kind: bytes
    body: bytes
    stays: bool


class Frames:
    """Sends and receives frames over *connected*; for one thread or greenlet at a time.

    Both methods raise OSError when the other side is gone or does not speak this; a frame of more than *most_bytes*
    is not taken.
    """

    def __init__(self, connected: socket.socket, most_bytes: int = MOST_BYTES) -> None:
        # A small frame behind a small frame would wait for the first one's receipt.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connected = connected
        self._most_bytes = most_bytes
        self._arrived = bytearray()

    def send(self, kind: bytes, body: bytes = b"", *, stays: bool = True) -> None:
        """Send a frame of *kind*; after an answer or an error that does not say *stays*, the connection ends."""
        self.connected.sendall(HEAD.pack(len(body), kind, stays) + body)

    def receive(self) -> Frame:
        """The next frame, waiting for it."""
        self._read_to(HEAD.size)
        body_bytes, kind, stays = HEAD.unpack_from(self._arrived)
        if body_bytes > self._most_bytes:
            raise ConnectionAbortedError(f"a frame of {body_bytes} bytes is more than {self._most_bytes}")
        end = HEAD.size + body_bytes
        self._read_to(end)
        body = bytes(self._arrived[HEAD.size : end])
        del self._arrived[:end]
        return Frame(kind, body, stays)

    def _read_to(self, end: int) -> None:
        while len(self._arrived) < end:
            arrived = self.connected.recv(READ_BYTES)
            if not arrived:
                raise ConnectionResetError("the other side has left")
            self._arrived += arrived
