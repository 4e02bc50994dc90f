"""Many files as one download."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from flask import Response, stream_with_context

from services.archives import stream_zip


def send_zip(name: str, members: Iterable[tuple[str, Path]]) -> Response:
    """A zip of *members*, written while it is sent; its file is called *name* as far as a header may say it."""
    response = Response(stream_with_context(stream_zip(members)), mimetype="application/zip")
    # What people call a thing may have line breaks, which would end the header.
    told = "".join(letter for letter in name if letter.isprintable()) or "files"
    plain = told.encode("ascii", "ignore").decode() or "files"
    # A header is ASCII; the name as it is stands beside it (RFC 8187).
    named = {"filename": f"{plain}.zip", "filename*": f"UTF-8''{quote(told, safe='')}.zip"}
    response.headers.set(
        "Content-Disposition", "attachment", **(named if plain != told else {"filename": f"{told}.zip"})
    )
    response.headers["Cache-Control"] = "private"
    return response
