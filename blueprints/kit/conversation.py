"""One open WebSocket as a view has it: messages in and out, and the caller behind it.

Whoever waits here is woken when the client leaves, the service stops or the token is revoked.
"""

import threading
import time
from contextlib import suppress
from typing import Any

import orjson
from flask import g, request
from simple_websocket import ConnectionClosed

from blueprints.kit.auth import BEARER, allows_anonymous, identify, identify_caller
from blueprints.kit.problems import describe
from blueprints.kit.steady import SteadyConnection
from services.cancellation import Cancellation
from services.errors import ServiceError, Unauthenticated

AUTH_SECONDS = 10.0
AUTH_BYTES = 2**14
RECHECK_SECONDS = 30.0
REASON_BYTES = 123

Message = str | bytes


class SocketEnds(Exception):
    """Close the socket with *code* and *reason*."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Wake(Cancellation):
    """A switch that wakes who waits for a message."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    def cancel(self, reason: str = "cancelled") -> None:
        super().cancel(reason)
        self._event.set()


class Socket:
    """One open WebSocket of one caller. A view reads and writes it from its own thread.

    Every method ends the view, by an exception that the kit understands, when the client leaves, the service
    stops, or the token is revoked.
    """

    def __init__(self, server: Any, connection: SteadyConnection) -> None:
        self.switch = Wake(server.event)
        self.number = 0
        """The number of the last message among all that the client sent after it logged in, dropped ones too."""
        self._logins = 0
        self._server = server
        self._connection = connection
        self._token: str | None = None
        self._recheck_at = 0.0
        self._newest = False
        self._heard = False
        connection.serve(server, self.switch)

    def receive(self, seconds: float | None = None) -> Message | None:
        """The next message, text or bytes; None when *seconds* pass without one."""
        message = self._wait(seconds)
        if message is None or self._heard:
            return message
        self._heard, self._connection.newest = True, self._newest
        token = token_in(message)
        if token is None:
            return message
        self._logins = 1
        self._identify(token)  # Nobody had to, or a header did.
        return self.receive(seconds)

    def send(self, payload: dict[str, Any]) -> None:
        """Send *payload* as a JSON text frame; waits a few seconds at most for a client that reads slowly."""
        self.check()
        self._server.send(orjson.dumps(payload, default=str).decode())

    def tell(self, error: ServiceError, **more: Any) -> None:
        """Send *error* as `{"type": "error", …}` with the one error body; the socket lives on."""
        self.send({"type": "error", **more, **describe(error)})

    def check(self) -> None:
        """End the view if nobody is there, or should be."""
        self.switch.check()
        if not (self._server.connected and self._server.thread.is_alive()):
            raise ConnectionClosed(self._server.close_reason, self._server.close_message)
        if self._token and time.monotonic() > self._recheck_at:
            self._identify(self._token)

    def log_in(self) -> None:
        """Know the caller: by the header, by a first message, or under AUTH=open as nobody."""
        header = request.headers.get("Authorization")
        if header is None and not allows_anonymous():
            self._log_in_by(self._wait(AUTH_SECONDS))
            return
        g.identity = identify_caller(anonymous=header is None)
        if header and (sent := BEARER.fullmatch(header)):
            self._remember(sent[1])

    def admit(self, most_bytes: int, *, newest: bool) -> None:
        """Take messages as large as the view wants them; *newest* passes over old ones, but not over a login."""
        self._connection.most_bytes = most_bytes
        self._newest = newest
        self._connection.newest = newest and self._heard
        self._connection.admitted = True

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, if anybody can still get it."""
        shown = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        with suppress(Exception):  # Whatever it is, the client is gone.
            self._server.close(code, shown)

    def _wait(self, seconds: float | None) -> Message | None:
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            message, number = self._connection.take()
            if message is not None:
                self.number = number - self._logins
                return self._measured(message)
            self.check()
            left = RECHECK_SECONDS if until is None else until - time.monotonic()
            if left <= 0:
                return None
            self._server.event.wait(min(left, RECHECK_SECONDS))
            self._server.event.clear()

    def _measured(self, message: Message) -> Message:
        if len(message) > self._connection.most_bytes:
            self._connection.refuse_large()
            raise ConnectionClosed
        return message

    def _log_in_by(self, message: Message | None) -> None:
        token = None if message is None else token_in(message)
        if token is None:
            raise Unauthenticated(
                'Log in first: send {"type": "auth", "token": "…"} within 10 seconds.',
                '请先登录：连接后 10 秒内发送 {"type": "auth", "token": "…"}。',
            )
        self._heard, self._logins = True, 1
        self._identify(token)

    def _identify(self, token: str) -> None:
        g.identity = identify(token)
        self._remember(token)

    def _remember(self, token: str) -> None:
        self._token, self._recheck_at = token, time.monotonic() + RECHECK_SECONDS


def token_in(message: Message) -> str | None:
    """The token of a message that logs in; None for any other."""
    try:
        read = orjson.loads(message) if len(message) <= AUTH_BYTES else None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(read, dict) or read.get("type") != "auth" or not isinstance(read.get("token"), str):
        return None
    return str(read["token"])
