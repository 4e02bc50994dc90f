"""The web application: the whole onion is visible in `create_app`."""

import importlib
import pkgutil
import random
import re
from typing import Any

import orjson
from flask import Flask, Response, g, request
from flask.json.provider import JSONProvider
from flask_openapi3 import Info, OpenAPI
from werkzeug.exceptions import default_exceptions

import blueprints
from backend import commands, console_page, document, extensions
from backend.bodies import PoliteBodies
from backend.errors import register_errors, tell_http_error
from backend.logs import set_up_logs
from backend.request_log import current_request_id, log_requests
from backend.rules import LazyRule
from blueprints.kit.auth import authenticate, init_tokens, refuse_others
from blueprints.kit.blueprint import Blueprint
from blueprints.kit.dialects import is_openai
from blueprints.kit.limits import init_limits
from blueprints.kit.uploads import receive_uploads
from blueprints.kit.validation import refuse_invalid
from services import VERSION
from services.assemble import Services, assemble
from services.database import Database, engine_options
from services.settings import Settings

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def create_app(settings: Settings | None = None, services: Services | None = None) -> OpenAPI:
    """The web application over *services*, or over services assembled from *settings*."""
    settings = settings or (services.settings if services else Settings())
    set_up_logs(settings, current_request_id)
    app = OpenAPI("polymath", info=Info(title="Polymath", version=VERSION), **document.OPTIONS)
    app.validation_error_callback = refuse_invalid
    app.json = OrjsonProvider(app)
    app.url_rule_class = LazyRule
    # Nothing here is a coroutine; Flask would look at each function of the onion again at every request.
    app.ensure_sync = lambda func: func  # type: ignore[method-assign]
    configure(app, settings)
    app.extensions["services"] = services or assemble_web(app, settings)

    # From the outside in: id and clock, who it is, how often and what they may, what they sent, the deed.
    app.before_request(name_request)
    log_requests(app)
    init_tokens(app)
    app.before_request(authenticate)
    init_limits(app, settings)
    app.before_request(refuse_others)
    receive_uploads(app)
    app.after_request(write_headers)
    register_errors(app)
    for blueprint in find_blueprints():
        app.register_blueprint(blueprint)
    document.serve(app)
    console_page.serve(app)
    app.wsgi_app = PoliteBodies(app.wsgi_app)  # type: ignore[method-assign]
    for group in commands.find():
        app.cli.add_command(group)
    return app


def assemble_web(app: Flask, settings: Settings) -> Services:
    """Services over Flask-SQLAlchemy's engine; without an engine host, everything runs inline."""
    with app.app_context():
        database = Database(extensions.db.engine)
    return assemble(settings, place="web" if settings.engine_url else "inline", database=database)


def configure(app: Flask, settings: Settings) -> None:
    """Bind the extensions and Flask's own settings."""
    url = settings.sqlalchemy_url
    settings.instance_dir.mkdir(parents=True, exist_ok=True)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(url),
        MAX_CONTENT_LENGTH=settings.max_dataset_mb * 2**20,
        MAX_FORM_MEMORY_SIZE=settings.max_json_mb * 2**20,
        SOCK_SERVER_OPTIONS={"ping_interval": 20, "max_message_size": settings.max_json_mb * 2**20},
    )
    extensions.db.init_app(app)
    # Only a browser's request has an Origin; the others need no such headers.
    extensions.cors.init_app(
        app, origins=settings.origins, expose_headers=extensions.EXPOSED_HEADERS, always_send=False
    )
    extensions.sock.init_app(app)


def find_blueprints() -> list[Blueprint]:
    """The `bp` of every module in `blueprints` and in its folders; a new domain is one new file."""
    found = []
    for module in pkgutil.walk_packages(blueprints.__path__, "blueprints."):
        imported = importlib.import_module(module.name)
        found += [imported.bp] if hasattr(imported, "bp") else []
    return found


def name_request() -> None:
    """Give the request its id: a sane incoming one, else a new one."""
    sent = request.headers.get("X-Request-ID", "")
    # An id is no secret: the kernel's random bytes would cost 27 microseconds a request.
    g.request_id = sent if SANE_REQUEST_ID.fullmatch(sent) else f"req-{random.getrandbits(64):016x}"


def refuse_unread(app: Flask, status: int) -> Response:
    """The answer of *status* to a request of which nothing could be read, with all that every answer has."""
    with app.test_request_context():
        name_request()
        return write_headers(tell_http_error(default_exceptions[status]()))


def write_headers(response: Response) -> Response:
    """The request id and the security headers; a page may bring a policy of its own."""
    headers = response.headers
    headers["X-Request-ID"] = g.get("request_id", "")
    if is_openai():
        headers["request-id"] = headers["X-Request-ID"]  # Where Anthropic's package looks for it.
    # One walk over the headers there are, where setdefault would walk for each.
    present = {name.lower() for name, _ in headers}
    headers.extend([header for header in SECURITY_HEADERS.items() if header[0].lower() not in present])
    return response


class OrjsonProvider(JSONProvider):
    """JSON by orjson: faster, and it refuses NaN, lone surrogates and bottomless nesting, which json lets in."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        return orjson.dumps(obj, default=str).decode()

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        body = orjson.dumps(self._prepare_response_obj(args, kwargs), default=str)
        return Response(body, mimetype="application/json")
