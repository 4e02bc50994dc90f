"""Results as files: whoever knows a name of 128 random bits may read it, and nothing lists them."""

import re
from pathlib import Path
from typing import Any

from flask import Response, g, request, send_file
from pydantic import BaseModel, Field
from werkzeug.exceptions import PreconditionFailed

from blueprints.kit.auth import identify_caller
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import services
from blueprints.kit.marks import mark
from services.errors import NotFound
from services.files import NAME, Kind

bp = make_blueprint("files", url_prefix="/outputs", about="Pictures, sounds, films and data sets that were made")

# Uploads are nobody's to read by their names.
KINDS: tuple[Kind, ...] = ("images", "audio", "video", "datasets")
# What a browser may show in place. All else is handed out as a file to keep, and none of it as a page.
MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".aac": "audio/aac",
    ".m4a": "audio/mp4",
}
DOCUMENTS = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".zip": "application/zip",
}
# Opened by itself, a picture or film is a page of the browser's own making, which must show it and nothing else.
POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
RANGE = re.compile(r"bytes=(?:\d+-\d*|-(?P<last>\d{1,18}))")
FILE: dict[int, dict[str, Any]] = {200: {"description": "The file", "content": {"*/*": {}}}}


class OutputPath(BaseModel):
    kind: str = Field(description="`images`, `audio`, `video` or `datasets`")
    name: str


@bp.get(
    "/<string:kind>/<string:name>", security=[], responses={200: {"description": "The file", "content": {"*/*": {}}}}
)
@mark(public=True, limit="status")
def show(path: OutputPath) -> Response:
    """Read a result. The name is the right to read, unless `OUTPUTS_AUTH` asks for a token as well."""
    if services().settings.outputs_auth:
        g.identity = identify_caller(anonymous=False)
    return send(locate(path.kind, path.name))


def locate(kind: str, name: str) -> Path:
    """Where the result *name* lies. Raises NotFound, for a name that leads elsewhere too."""
    known = next((known for known in KINDS if known == kind), None)
    if known and NAME.fullmatch(name):
        file = services().files.folder(known) / name
        if file.is_file() and not file.is_symlink():
            return file
    raise NotFound("There is no such file.", "文件不存在。")


def send(file: Path) -> Response:
    """*file*, whole, in ranges, or not at all where the client has it."""
    kind = MEDIA.get(file.suffix)
    wanted = RANGE.fullmatch(request.headers.get("Range", "bytes=0-"))
    # More of the end than there is means the whole, which werkzeug refuses.
    of_the_whole = wanted is not None and int(wanted["last"] or 0) > file.stat().st_size
    response = send_file(
        file.resolve(),
        mimetype=kind or DOCUMENTS.get(file.suffix, "application/octet-stream"),
        as_attachment=kind is None,
        download_name=file.name,
        # Other units, and several ranges at once, are nothing that a server must know: the whole file answers them.
        conditional=wanted is not None and not of_the_whole,
    )
    if response.status_code == PreconditionFailed.code:
        response.close()
        raise PreconditionFailed
    response.headers["Cache-Control"] = "private"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = POLICY
    return response
