"""The Postman collection: every route once at least, in an order that can be run."""

from typing import Any

import pytest
from flask import Flask

from backend import postman
from backend.document import build
from backend.postman import checks
from tests.source import ROOT


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    return build(app)


@pytest.fixture
def collection(document: dict[str, Any]) -> dict[str, Any]:
    return postman.collection(document)


def requests_of(collection: dict[str, Any]) -> list[dict[str, Any]]:
    return [item["request"] for folder in collection["item"] for item in folder["item"]]


def address_of(request: dict[str, Any]) -> str:
    return request["url"] if isinstance(request["url"], str) else request["url"]["raw"]


def test_every_route_is_asked(document: dict[str, Any]) -> None:
    steps = postman.steps_of(document)
    assert {postman.route_of(step) for step in steps} == set(postman.operations_of(document))


def test_the_login_is_first_and_deletions_and_the_logout_are_last(collection: dict[str, Any]) -> None:
    methods = [request["method"] for request in requests_of(collection)]
    last = len(collection["item"][-1]["item"])
    assert address_of(requests_of(collection)[0]) == "{{baseUrl}}/api/v1/login"
    assert "DELETE" not in methods[:-last]
    assert "{{baseUrl}}/api/v1/logout" in [address_of(request) for request in requests_of(collection)[-last:]]


def test_public_routes_send_no_token(collection: dict[str, Any]) -> None:
    bare = [address_of(request) for request in requests_of(collection) if request.get("auth")]
    assert "{{baseUrl}}/health" in bare
    assert "{{baseUrl}}/api/auth/me" not in bare


def test_files_that_are_sent_exist(collection: dict[str, Any]) -> None:
    forms = [request["body"].get("formdata", []) for request in requests_of(collection) if "body" in request]
    files = {field["src"] for form in forms for field in form if field["type"] == "file"}
    assert files
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    bodies = {
        route: operation["requestBody"]["content"].values()
        for route, operation in postman.operations_of(document).items()
        if "requestBody" in operation
    }
    assert len(bodies) > 40
    assert [route for route, kinds in bodies.items() if not any("example" in kind for kind in kinds)] == []


def test_examples_show_no_variables(document: dict[str, Any]) -> None:
    told = [operation.get("requestBody") for operation in postman.operations_of(document).values()]
    assert "{{" not in str(told)


def test_schemas_are_plain() -> None:
    node = {"type": "object", "title": "Node", "required": ["next"], "properties": {"next": {"$ref": "#/…/Leaf"}}}
    document = {"components": {"schemas": {"Leaf": {"type": ["string", "null"], "description": "words"}}}}
    told = {"type": "object", "required": ["next"], "properties": {"next": {"type": ["string", "null"]}}}
    assert checks.plain(node, document) == told


def test_a_status_that_is_not_documented_is_refused() -> None:
    with pytest.raises(AssertionError, match="418"):
        checks.schemas({"summary": "Brew", "responses": {"200": {}}}, {}, [418])
