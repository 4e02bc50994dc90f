"""One client's connection to a FakeServer: what came in, and how a reply goes out."""

import json
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

LOOK_SECONDS = 0.02


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


CUT = _Mark("CUT")
RESET = _Mark("RESET")
Piece = bytes | str | None | _Mark


@dataclass
class FormPart:
    """One part of a multipart body."""

    name: str
    filename: str | None
    content_type: str
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode()


@dataclass
class RecordedRequest:
    """A request as it came: the path still percent-encoded, header names in lower case."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    client_left: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name."""
        return parse_qs(self.query_string, keep_blank_values=True)

    @cached_property
    def json(self) -> Any:
        """The body read as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @cached_property
    def form(self) -> list[FormPart]:
        """The parts of a multipart body, in order."""
        head = f"Content-Type: {self.headers.get('content-type', '')}\r\n\r\n".encode()
        message = message_from_bytes(head + self.body)
        return [_form_part(part) for part in message.get_payload()] if message.is_multipart() else []  # type: ignore[union-attr]

    def form_text(self, name: str) -> str | None:
        """The text of the first part with this name."""
        return next((part.text for part in self.form if part.name == name), None)


def _form_part(part: Any) -> FormPart:
    name = part.get_param("name", header="content-disposition")
    data = part.get_payload(decode=True) or b""
    return FormPart(name, part.get_filename(), part.get_content_type(), data)


@dataclass
class Reply:
    """What goes back; a header set to None is not sent, not even the default content type."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    hold: threading.Event | None = None
    close_delimited: bool = False

    @property
    def streams(self) -> bool:
        return isinstance(self.body, Iterator)

    @property
    def payload(self) -> bytes:
        """The whole body as bytes (not for a streamed one)."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, ensure_ascii=False).encode()

    def head(self) -> dict[str, str]:
        """The headers to send, with a content type that fits the body."""
        default = "text/event-stream" if self.streams else "application/json"
        headers = {"content-type": default, **{name.lower(): value for name, value in self.headers.items()}}
        return {name: value for name, value in headers.items() if value is not None}


class ClientLeft(Exception):
    """The client closed its side before the answer was whole."""


class Connection(BaseHTTPRequestHandler):
    """Serves one connection, request after request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_args: object) -> None:
        """Says nothing; the requests are recorded."""

    def _serve(self) -> None:
        request = self._read_request()
        self.server.fake.record(request)  # type: ignore[attr-defined]
        reply = self.server.fake.answer(request)  # type: ignore[attr-defined]
        try:
            self._send(reply)
        except (ClientLeft, OSError):
            self.close_connection = True
            request.client_left.set()
        finally:
            if reply.streams and hasattr(reply.body, "close"):
                reply.body.close()
            request.answered.set()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _read_request(self) -> RecordedRequest:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b"".join(self._read_chunks())
        else:
            body = self.rfile.read(int(headers.get("content-length") or 0))
        path, _, query = self.path.partition("?")
        return RecordedRequest(self.command, path, query, headers, body)

    def _read_chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, reply: Reply) -> None:
        while reply.hold is not None and not reply.hold.is_set():
            self._look_for_client(LOOK_SECONDS)
        headers = reply.head()
        if reply.close_delimited:
            headers["connection"] = "close"
            self.close_connection = True
        elif reply.streams:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(len(reply.payload))
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if reply.streams:
            self._send_pieces(reply.body, chunked=not reply.close_delimited)
        else:
            self.wfile.write(reply.payload)
        self.wfile.flush()

    def _send_pieces(self, pieces: Iterator[Piece], chunked: bool) -> None:
        self.wfile.flush()
        for piece in pieces:
            self._look_for_client(LOOK_SECONDS if piece is None else 0)
            if piece is CUT or piece is RESET:
                self._break_off(reset=piece is RESET)
                return
            data = piece.encode() if isinstance(piece, str) else piece
            if data:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
                self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _look_for_client(self, seconds: float) -> None:
        """Raises ClientLeft where the client has closed its side; waits `seconds` for that."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        if poll.poll(seconds * 1000) and self.connection.recv(1, socket.MSG_PEEK) == b"":
            raise ClientLeft

    def _break_off(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
