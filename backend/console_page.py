"""The web console at `/`: a page of static files, all served from here, under a policy that runs nothing else."""

import hashlib
import html
import mimetypes
from pathlib import Path

from flask import Flask, Response, make_response, request, send_from_directory

from blueprints.kit.context import services
from blueprints.kit.marks import mark

CONSOLE_DIR = Path(__file__).parent / "console"
TEMPLATE = CONSOLE_DIR / "index.html"
A_YEAR_SECONDS = 31_536_000
# No inline script or style, no other host; a script may not even make markup of text.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
PERMISSIONS = "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()"
# What a machine's own table of types calls a module decides whether a browser runs it.
mimetypes.add_type("text/javascript", ".js")


def serve(app: Flask) -> None:
    """Add the console to *app*; its files are public, and what they ask needs a token as everything does."""

    @app.route("/console/<string:version>/<path:name>")
    @mark(public=True, limit="none")
    def console_file(version: str, name: str) -> Response:
        """Load a part of the console; a version's files never change, so that a browser asks for each once."""
        response = send_from_directory(CONSOLE_DIR, name)
        if version == version_of_files():
            response.headers["Cache-Control"] = f"public, max-age={A_YEAR_SECONDS}, immutable"
        else:
            response.headers["Cache-Control"] = "no-cache"
        return response

    app.extensions["console"] = show_page


def show_page() -> Response:
    """The page itself, with what it must know before it may ask; fresh at each visit."""
    settings, version = services().settings, version_of_files()
    told = {"version": version, "auth": settings.auth, "language": settings.default_language}
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in told.items():
        text = text.replace(f"{{{{{name}}}}}", html.escape(value))
    response = make_response(text.replace("{{preloads}}", preloads(version)))
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Permissions-Policy"] = PERMISSIONS
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
    response.make_conditional(request)
    return response


def preloads(version: str) -> str:
    """Links by which a browser fetches the modules that every page needs at once, and not one after another."""
    names = [f"shared/{path.name}" for path in sorted((CONSOLE_DIR / "shared").glob("*.js"))]
    return "\n".join(f'  <link rel="modulepreload" href="/console/{version}/{name}">' for name in names)


def version_of_files() -> str:
    """A name for the files as they are now: another one as soon as any of them changes."""
    known = sorted((str(path), path.stat().st_mtime_ns) for path in CONSOLE_DIR.rglob("*") if path.is_file())
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]
