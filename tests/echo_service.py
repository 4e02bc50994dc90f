"""The whole web application with one more blueprint, whose sockets try the kit: see `create_echo_service`."""

import threading
import time

from flask import Flask, jsonify

from backend import app as application
from backend.setup import prepare
from blueprints.kit.blueprint import Blueprint, make_blueprint
from blueprints.kit.context import me
from blueprints.kit.conversation import Socket, SocketEnds
from blueprints.kit.marks import mark
from blueprints.kit.sockets import Converse, socket_route
from services.errors import NotFound

MOST_BYTES = 2**20
KEPT: dict[str, list[str]] = {"ends": []}


def echo(socket: Socket) -> None:
    """Echo what comes, with the name of who sent it."""
    try:
        while True:
            heard = socket.receive()
            shown = heard.decode("latin-1") if isinstance(heard, bytes) else heard
            socket.send({"heard": shown, "user": me().username})
    finally:
        KEPT["ends"].append("echo")


def silence(socket: Socket) -> None:
    """Send something each tenth of a second, and listen."""
    while True:
        if socket.receive(0.1) is None:
            socket.send({"type": "nothing"})


def failure(socket: Socket) -> None:
    """Fail as the client asks."""
    match socket.receive():
        case "service":
            raise NotFound("There is no {name}.", "没有 {name}。", name="such thing")
        case "end":
            raise SocketEnds(4000, "as asked " * 50)
        case _:
            raise RuntimeError("a fault")


def flood(socket: Socket) -> None:
    """Send 200 MB to whoever asked."""
    socket.receive()
    try:
        for _ in range(200):
            socket.send({"noise": "x" * 10**6})
    finally:
        KEPT["ends"].append("flood")


def newest(socket: Socket) -> None:
    """Look at a message for a while, and tell which it was and how many were passed over."""
    while True:
        heard = socket.receive()
        time.sleep(0.2)
        socket.send({"heard": heard, "number": socket.number})


SOCKETS: dict[str, Converse] = {
    "/socket": echo,
    "/silence": silence,
    "/failure": failure,
    "/flood": flood,
    "/newest": newest,
}


def make_echo() -> Blueprint:
    """Sockets that echo, fail, flood and pass over old messages, and a route that tells how they ended."""
    bp = make_blueprint("echo", url_prefix="/echo")
    for path, view in SOCKETS.items():
        socket_route(bp, path, most_bytes=MOST_BYTES, newest=view is newest)(view)

    @bp.get("/ends")
    @mark(public=True)
    def ends() -> object:
        return jsonify(ends=KEPT["ends"], threads=threading.active_count())

    return bp


def create_echo_service() -> Flask:
    """The application with these sockets, on prepared tables."""
    made = application.create_app()
    made.register_blueprint(make_echo())
    prepare(made.extensions["services"])
    return made
