"""A chat that a request asks for, in whichever protocol's words: its whole answer, or a stream of it."""

from collections.abc import Callable

from flask import Response, g, request

from blueprints.kit.context import me, services
from blueprints.kit.presence import client_waits
from blueprints.kit.streams import Writing, respond
from services.contracts.chat import ChatDelta, ChatReply, ChatRequest
from services.domains import chat


def reply(asked: ChatRequest) -> ChatReply:
    """The whole answer to *asked*, for as long as the client waits for it."""
    with client_waits(request.environ):
        return chat.reply(asked, services=services(), owner=me().id, request_id=g.request_id)


def stream(asked: ChatRequest, encode: Callable[[list[ChatDelta]], bytes], writing: Writing | None = None) -> Response:
    """The answer to *asked* piece by piece, as `respond` writes it."""
    # Read here, since the work is in another thread without Flask's contexts.
    house, owner, request_id = services(), me().id, g.request_id
    return respond(lambda: chat.stream(asked, services=house, owner=owner, request_id=request_id), encode, writing)
