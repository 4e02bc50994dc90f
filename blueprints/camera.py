"""System 3: a camera's frames over a WebSocket; each one that is looked at is answered, and the newest wins."""

import base64
import binascii
import time
from typing import Any

import orjson
from flask import request
from pydantic import ValidationError

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.conversation import Message, Socket
from blueprints.kit.problems import language
from blueprints.kit.sockets import socket_route
from blueprints.kit.validation import as_error
from services.contracts.camera import LONGEST_ID, CameraOptions, Frame, FrameId, FrameMessage, FrameResult
from services.domains import camera
from services.errors import Invalid, Malformed, ServiceError

bp = make_blueprint("camera", about="What cameras see (system 3)")

MOST_BYTES = 6 * 2**20
# Who sends what cannot be read hears so, but not thousands of times a second.
ERROR_PAUSE_SECONDS = 0.05


@socket_route(bp, "/ws/camera", most_bytes=MOST_BYTES, newest=True)
def watch(socket: Socket) -> None:
    """Look at a camera's frames over a WebSocket (JPEG or WebP), for faces or, with `?mode=detect`, for things."""
    options, before = read_options(), 0
    while True:
        message = socket.receive()
        if message is None:
            continue
        number, dropped = socket.number, socket.number - before - 1
        before = number
        answer(socket, message, options, number=number, dropped=dropped)


def answer(socket: Socket, message: Message, options: CameraOptions, *, number: int, dropped: int) -> None:
    """Answer one frame, by what it shows or by an error frame."""
    frame_id: FrameId = number if isinstance(message, bytes) else None
    try:
        if isinstance(message, str):
            sent = read_json(message)
            frame_id = id_in(sent)
            message, options = unpack(sent, options)
        frame = Frame(picture=message, options=options, owner=me().id, language=language())
        look = camera.look(frame, services=services())
    except ServiceError as error:
        socket.check()  # Whose client left was cancelled, and hears nothing.
        socket.tell(error, id=frame_id, dropped=dropped)
        time.sleep(ERROR_PAUSE_SECONDS)
        return
    result = FrameResult(id=frame_id, ms=look.ms, dropped=dropped)
    socket.send({**result.model_dump(), look.kind: look.found})


def read_options() -> CameraOptions:
    """How frames are to be looked at, as the URL says. Raises Invalid."""
    sent = {name: value for name, value in request.args.items() if value}
    try:
        return CameraOptions.model_validate(sent | {"labels": request.args.getlist("labels")})
    except ValidationError as error:
        raise as_error(error.errors(include_url=False)) from error


def read_json(message: str) -> Any:
    """What a text message says. Raises Malformed."""
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise Malformed(
            'Send a frame\'s bytes, or {"type": "frame", "id": …, "data": "<base64>", "mode": "faces" or "detect"}.',
            '请发送帧的二进制数据，或 {"type": "frame", "id": …, "data": "<base64>", "mode": "faces" 或 "detect"}。',
        ) from error


def id_in(sent: Any) -> FrameId:
    """The id that an error frame about *sent* can name."""
    named = sent.get("id") if isinstance(sent, dict) else None
    if isinstance(named, str):
        return named[:LONGEST_ID]
    return named if isinstance(named, int | float) else None


def unpack(sent: Any, options: CameraOptions) -> tuple[bytes, CameraOptions]:
    """The picture and the options of a frame sent as text. Raises Invalid."""
    try:
        frame = FrameMessage.model_validate(sent)
    except ValidationError as error:
        raise as_error(error.errors(include_url=False)) from error
    # A model and a threshold are those of one mode; a frame of the other one is looked at as by default.
    is_other = frame.mode is not None and frame.mode != options.mode
    return decode(frame.data), CameraOptions(mode=frame.mode) if is_other else options


def decode(data: str) -> bytes:
    """The bytes that *data* says in base64, also as a data URL. Raises Invalid."""
    try:
        return base64.b64decode(data.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("data", "'data' is not base64.", "参数'data'不是有效的 base64。", reason="not_base64") from error
