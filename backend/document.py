"""The OpenAPI document at `/openapi.json` and the page that shows it at `/docs`, all served from here."""

import re
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, send_from_directory
from flask_openapi3 import OpenAPI

from backend.postman import show_examples
from blueprints.kit.blueprint import Blueprint
from blueprints.kit.marks import mark
from blueprints.openai.shapes import inlined_schema

PAGE_DIR = Path(__file__).parent / "docs_page"
PAGE_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
_describing = threading.Lock()
OPTIONS: dict[str, Any] = {
    "doc_ui": False,
    "static_folder": None,
    "security_schemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or sk-… key"}},
}


def serve(app: OpenAPI) -> None:
    """Add the document and its page to *app*; they need no token and no network."""
    assets = _assets_dir()

    @app.route("/openapi.json")
    @mark(public=True, limit="none")
    def openapi_document() -> Response:
        """Read the OpenAPI 3.1 document of this API."""
        return jsonify(build(app))

    @app.route("/docs")
    @mark(public=True, limit="none")
    def docs_page() -> Response:
        """Read and try the API in a browser."""
        return _with_policy(send_from_directory(PAGE_DIR, "index.html"))

    @app.route("/docs/page.js")
    @mark(public=True, limit="none")
    def docs_script() -> Response:
        """Load the script of that page."""
        return send_from_directory(PAGE_DIR, "page.js")

    @app.route("/docs/assets/<path:name>")
    @mark(public=True, limit="none")
    def docs_asset(name: str) -> Response:
        """Load the other parts of that page, from here and not from the network."""
        return send_from_directory(assets, name)


def build(app: Flask) -> dict[str, Any]:
    """The OpenAPI 3.1 document of *app*; routes that tell a wrong field as 400 have no 422."""
    assert isinstance(app, OpenAPI)
    with _describing:
        for blueprint in app.blueprints.values():
            if isinstance(blueprint, Blueprint):
                blueprint.describe_in(app)
        spec: dict[str, Any] = app.api_doc
    for path, item in spec["paths"].items():
        for operation in item.values():
            if path.startswith(("/api/v1/", "/v1/", "/api/chat/")):
                operation["responses"].pop("422", None)
            _mark_public(app, path, operation)
    _show_both_bodies(spec["paths"])
    _show_json_beside_forms(app, spec["paths"])
    show_examples(spec)
    return spec


def _show_json_beside_forms(app: Flask, paths: dict[str, Any]) -> None:
    """Views that take a form may say that they take JSON in its place."""
    for rule in app.url_map.iter_rules():
        model = getattr(app.view_functions.get(rule.endpoint), "also_json", None)
        if model is not None:
            content = paths[readable(rule.rule)]["post"]["requestBody"]["content"]
            content["application/json"] = {"schema": inlined_schema(model)}


def _show_both_bodies(paths: dict[str, Any]) -> None:
    """`/api/generate` hands its body on to one of two routes, by its content type, and takes and gives what they do."""
    shared = paths["/api/generate"]["post"]
    by_name = [paths["/api/images/generate"]["post"], paths["/api/annotations"]["post"]]
    bodies = [operation["requestBody"]["content"] for operation in by_name]
    answers = [operation["responses"]["200"]["content"]["application/json"]["schema"] for operation in by_name]
    shared["requestBody"] = {
        "required": True,
        "content": {kind: body for each in bodies for kind, body in each.items()},
    }
    shared["responses"]["200"]["content"]["application/json"]["schema"] = {"anyOf": answers}


def _mark_public(app: Flask, path: str, operation: dict[str, Any]) -> None:
    rules = {readable(rule.rule): rule for rule in app.url_map.iter_rules()}
    rule = rules.get(path)
    view = app.view_functions.get(rule.endpoint) if rule else None
    if view and getattr(getattr(view, "marks", None), "public", False):
        operation["security"] = []


def readable(rule: str) -> str:
    """A rule as OpenAPI writes it: `{name}` for `<string:name>`."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


def _with_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response


def _assets_dir() -> Path:
    package = find_spec("flask_openapi3_swagger")
    assert package is not None
    assert package.origin
    return Path(package.origin).parent / "templates" / "swagger"
