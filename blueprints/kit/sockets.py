"""WebSockets: who may open one, how many, and how a talk ends; no exception gets out into Flask.

An error that reached Flask would be answered by HTTP bytes in the open socket. Whatever a view raises is
told inside: an error frame with the one error body, and a close code. Works under gevent and threads alike.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

from flask import g, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed
from wsproto.utilities import RemoteProtocolError

from blueprints.kit.auth import allows_anonymous
from blueprints.kit.blueprint import Blueprint
from blueprints.kit.context import services
from blueprints.kit.conversation import AUTH_BYTES, Socket, SocketEnds
from blueprints.kit.limits import caller
from blueprints.kit.marks import mark
from blueprints.kit.presence import RESTARTING, presence
from blueprints.kit.problems import describe, language, say
from blueprints.kit.steady import SteadyConnection
from services.cancellation import cancellable
from services.errors import Cancelled, Denied, Malformed, ServiceError, Unauthenticated

SERVERS = ("gunicorn.socket", "werkzeug.socket")
TOKENS_IN_URL = {"token", "access_token", "api_key", "apikey", "key", "authorization"}
GOING_AWAY, INTERNAL, RESTART = 1001, 1011, 1012
NOT_LOGGED_IN, TOO_MANY_OPEN = 4401, 4429

Converse = Callable[[Socket], None]

log = logging.getLogger("polymath.sockets")


def socket_route(bp: Blueprint, path: str, *, most_bytes: int, newest: bool = False) -> Callable[[Converse], Converse]:
    """A WebSocket at *path*: the view gets a `Socket` whose caller is known, in the request's context.

    Messages are *most_bytes* large at most, else the socket closes with 1009. With *newest*, messages that
    waited while the view was busy are dropped for the last one of them.
    """

    def register(converse: Converse) -> Converse:
        @wraps(converse)
        def view(server: Any) -> None:
            _hold(server, converse, most_bytes=most_bytes, newest=newest)

        # Who it is, is asked after the handshake: a browser cannot send a header and sees no HTTP status.
        Sock().route(path, bp=_Gate(bp, most_bytes))(mark(public=True)(view))
        return converse

    return register


class _Gate:
    """A blueprint for flask-sock that looks at a request before its handshake."""

    def __init__(self, bp: Blueprint, most_bytes: int) -> None:
        self._bp = bp
        self._most_bytes = most_bytes

    def route(self, path: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(view)
            def gated(*arguments: Any, **values: Any) -> Any:
                _refuse_strangers()
                _steady(self._most_bytes)
                with _handshake_told():
                    return view(*arguments, **values)

            self._bp.route(path, **options)(gated)
            return gated

        return register


def _refuse_strangers() -> None:
    """Raise Denied for a page of a foreign origin, and Malformed for a token in the URL, where logs would have it."""
    origin, allowed = request.headers.get("Origin"), services().settings.origins
    if origin is not None and "*" not in allowed and origin.lower() not in {one.lower() for one in allowed}:
        raise Denied(
            "Pages of {origin} may not open a socket here; the operator can add it to ALLOWED_ORIGINS.",
            "不允许来自 {origin} 的页面建立连接，管理员可将其加入 ALLOWED_ORIGINS。",
            origin=repr(origin[:100]),
        )
    if TOKENS_IN_URL & {name.lower() for name in request.args}:
        raise Malformed(
            'A token does not belong in a URL; send it in the Authorization header or in a first message {"type": '
            '"auth", "token": "…"}.',
            '不要在 URL 中携带令牌；请使用 Authorization 请求头，或在首条消息中发送 {"type": "auth", "token": "…"}。',
        )


@contextmanager
def _handshake_told() -> Iterator[None]:
    """Turn the error of a broken handshake into Malformed; nothing of it is answered yet."""
    try:
        yield
    except RemoteProtocolError as error:
        raise Malformed(
            "This is not the handshake of a WebSocket; it is in RFC 6455, section 4.1.",
            "WebSocket 握手请求无效，格式见 RFC 6455 第 4.1 节。",
        ) from error


def _steady(most_bytes: int) -> None:
    """Put a steady connection where simple-websocket finds it."""
    environ = request.environ
    # What is sent is pictures; inflating would also make a small frame a large one.
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    # Whoever has yet to say who it is may say that and no more.
    known = "Authorization" in request.headers or allows_anonymous()
    for name in SERVERS:
        if name in environ:
            bound = most_bytes if known else AUTH_BYTES
            environ[name] = SteadyConnection(environ[name], most_bytes=bound, admitted=known)


def _hold(server: Any, converse: Converse, *, most_bytes: int, newest: bool) -> None:
    """Run *converse* from the login to the goodbye; raises nothing."""
    g.pop("started", None)  # An hour's talk is no request's latency; it has a log line of its own.
    started = time.monotonic()
    socket = Socket(server, server.sock)
    presence.watch(socket.switch, {})  # The reading thread sees the client leave; this sees the service stop.
    try:
        with cancellable(socket.switch):
            _talk(socket, converse, most_bytes=most_bytes, newest=newest)
    finally:
        presence.forget(socket.switch)
        server.connected = False
        server.sock.end()
        _log_end(time.monotonic() - started)


def _talk(socket: Socket, converse: Converse, **wanted: Any) -> None:
    """Log in and converse; every end becomes a close code."""
    try:
        socket.log_in()
        with _counted():
            socket.admit(wanted["most_bytes"], newest=wanted["newest"])
            converse(socket)
        socket.close(1000, "")
    except SocketEnds as end:
        socket.close(end.code, end.reason)
    except Unauthenticated as error:
        socket.close(NOT_LOGGED_IN, error.say(language()))
    except Cancelled as error:
        restarting = error.reason == RESTARTING
        socket.close(RESTART if restarting else GOING_AWAY, "the server is restarting" if restarting else "")
    except ServiceError as error:
        with suppress(Exception):
            socket.tell(error)
        socket.close(INTERNAL, describe(error)["error"]["code"])
    except (ConnectionClosed, OSError):
        pass  # The client left, or does not read.
    except Exception:
        log.exception("a socket broke")
        socket.close(INTERNAL, "INTERNAL_ERROR")


_open: Counter[str] = Counter()
_counting = threading.Lock()


@contextmanager
def _counted() -> Iterator[None]:
    """Let a caller have `MAX_SOCKETS` open in this process. Raises SocketEnds."""
    whom, most = caller(), services().settings.max_sockets
    with _counting:
        if _open[whom] >= most:
            raise SocketEnds(TOO_MANY_OPEN, _too_many(most))
        _open[whom] += 1
    try:
        yield
    finally:
        with _counting:
            _open[whom] -= 1
            if not _open[whom]:
                del _open[whom]


def _too_many(most: int) -> str:
    return say(f"{most} sockets are open; close one of them", f"已有 {most} 个连接，请先关闭其中之一")


def _log_end(seconds: float) -> None:
    identity = g.get("identity")
    log.info(
        "socket ended",
        extra={
            "request_id": g.get("request_id", ""),
            "user": identity.username if identity else "",
            "route": request.url_rule.rule if request.url_rule else "(none)",
            "seconds": round(seconds, 1),
        },
    )
