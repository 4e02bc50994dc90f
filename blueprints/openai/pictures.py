"""Pictures that a JSON body names: inside of it, at an address, or among the caller's files."""

import base64
import binascii
import re
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel
from werkzeug.datastructures import FileStorage

from blueprints.kit.context import me, services
from blueprints.kit.landing import Landing
from blueprints.kit.marks import marks
from blueprints.kit.uploads import most_bytes, uploads_dir
from services.contracts.openai_images import GivenPicture
from services.domains import user_files
from services.errors import Invalid
from services.files import PART

View = TypeVar("View", bound=Callable[..., Any])
DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)


def also_json(model: type[BaseModel]) -> Callable[[View], View]:
    """Say that a view which takes a form takes *model* as JSON too; `backend/document.py` tells of it."""

    def leave(view: View) -> View:
        view.__dict__["also_json"] = model
        return view

    return leave


def landed_picture(given: GivenPicture, *, field: str) -> FileStorage:
    """The picture as if it had been sent in a form: it is gone after the request unless it is kept.

    Raises Invalid for one that is no base64 or is not named, NotFound, TooLarge, and what fetching it raises.
    """
    settings = services().settings
    landing = Landing(uploads_dir(settings), most_bytes(settings, marks()), may_stay_in_memory=True)
    request.landings.append(landing)  # type: ignore[attr-defined]
    if given.file_id:
        _, place = user_files.content(given.file_id, services=services(), identity=me())
        landing.write(place.read_bytes())
    elif given.image_url and given.image_url.startswith(("http://", "https://")):
        _fetch(given.image_url, landing)
    else:
        landing.write(_decode(given.image_url or "", field))
    landing.seek(0)
    return FileStorage(stream=landing, filename="picture", name=field)  # type: ignore[arg-type]


def _fetch(url: str, landing: Landing) -> None:
    """Bring the picture at *url*, guarded as all addresses that users name."""
    place = uploads_dir(services().settings) / f"{PART}{secrets.token_hex(16)}-fetched"
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        services().outbound.download(url, place, max_bytes=landing.most_bytes)
        landing.write(place.read_bytes())
    finally:
        place.unlink(missing_ok=True)


def _decode(url: str, field: str) -> bytes:
    """The bytes of a `data:` address, or of bare base64."""
    head = DATA_URL.match(url)
    try:
        found = base64.b64decode(url[head.end() if head else 0 :], validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if found:
        return found
    raise Invalid(
        field,
        "This is no picture: send a data: or https: address, or the id of an uploaded file.",
        "此处不是图片，请使用 data: 或 https: 地址，或已上传文件的 id。",
        reason="no_picture",
    )
