"""Pictures that are looked at: what a form says of one, and the answer of the engine."""

from typing import Any

from flask import Response, jsonify, request
from pydantic import BaseModel, Field
from werkzeug.datastructures import FileStorage

from blueprints.kit.context import me, services
from blueprints.kit.presence import client_waits
from blueprints.kit.uploads import take
from blueprints.kit.validation import FormModel, Upload


class LookForm(FormModel):
    """A picture and the model that shall look at it; an empty field is as good as none."""

    image: Upload
    model: str | None = Field(None, max_length=256, description="A catalog id or a local path; empty takes the default")
    model_id: str | None = Field(None, max_length=256, description="The same as `model`")

    def common(self) -> dict[str, Any]:
        """What every request to look says. Raises as `take`."""
        return {**sent_picture(self.image), "model": self.model or self.model_id or None, "owner": me().id}


def sent_picture(upload: FileStorage) -> dict[str, Any]:
    """The fields of a SentPicture for *upload*: a small one goes along, another lies where it landed."""
    landing = take(upload, {"image"})
    return {"attached": landing.small} if landing.small else {"image": landing.path.name}


def look(name: str, wanted: BaseModel) -> Response:
    """What the function *name* answers to *wanted*, for as long as the client waits for it."""
    with client_waits(request.environ):
        result = services().calls.call(name, wanted, services=services())
    return jsonify(result.model_dump())
