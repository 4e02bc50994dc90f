"""Blueprints describe their routes when the API document is read."""

from typing import Any

from flask_openapi3 import OpenAPI

from blueprints.kit.blueprint import make_blueprint


def test_two_blueprints_may_share_a_path() -> None:
    app, made = OpenAPI("test", doc_ui=False), []
    for name, method in (("readers", "get"), ("writers", "post")):
        bp = make_blueprint(name, url_prefix="/things")

        def view() -> dict[str, Any]:
            return {}

        getattr(bp, method)("/all")(view)
        made.append(bp)
    for _reading in range(2):
        for bp in made:
            bp.describe_in(app)
        document = app.api_doc
        assert set(document["paths"]["/things/all"]) == {"get", "post"}
        assert {tag["name"] for tag in document["tags"]} == {"readers", "writers"}
