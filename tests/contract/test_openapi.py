"""The OpenAPI document against the running service: whatever fits a schema, and what does not, is answered as written.

schemathesis makes the requests from the document. No answer is a 500, and none has a status, a content type or a body
that the document does not show. A 503 is no failure here: no model is installed.
"""

from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CheckContext
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backend.commands import documents
from backend.document import build
from tests.live import LiveServer

# What browsers load, and WebSockets, of which OpenAPI knows nothing.
PAGES = {
    "GET /console/{version}/{name}",
    "GET /docs",
    "GET /docs/assets/{name}",
    "GET /docs/page.js",
    "GET /openapi.json",
    "GET /ws/camera",
    "GET /ws/training",
}
EXAMPLES = 4
# They would end the login that all requests share.
LEFT_OUT = ["/api/v1/logout", "/api/auth/password"]
LIMITS = ["TRAINING", "INFERENCE", "DEFAULT", "GENERATION", "STATUS"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    limits = {f"RATE_LIMIT_{name}": "1000000/minute" for name in LIMITS}
    live = LiveServer(tmp_path_factory.mktemp("schema"), SYNC_WAIT_SECONDS="2", **limits).start()
    yield live
    live.stop()


@pytest.fixture(scope="module")
def document(server: LiveServer) -> Any:
    loaded = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    return loaded.exclude(path=LEFT_OUT)


@pytest.fixture(scope="module")
def headers(server: LiveServer) -> dict[str, str]:
    return server.login()


def not_a_500(_context: CheckContext, response: Any, _case: Any) -> None:
    """Errors are told as what they are."""
    assert response.status_code != 500, response.text


CHECKS = [not_a_500, status_code_conformance, content_type_conformance, response_schema_conformance]


def wrong_answers(operation: Any, headers: dict[str, str]) -> str:
    """What the first answer of *operation* that is not as documented has wrong, or nothing."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=60)

    try:
        ask()
    except (FailureGroup, AssertionError) as wrong:
        return f"{operation.label}: {wrong}\n" + "\n".join(str(each) for each in getattr(wrong, "exceptions", []))
    return ""


def test_every_route_is_in_the_document(app: Flask) -> None:
    shown = {(method.upper(), path) for path, item in build(app)["paths"].items() for method in item}
    missing = {f"{method} {path}" for method, path in documents.routes(app)} - {" ".join(each) for each in shown}
    assert missing == PAGES


@pytest.mark.slow
def test_answers_are_as_documented(document: Any, headers: dict[str, str]) -> None:
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) > 100
    assert [wrong for wrong in (wrong_answers(each, headers) for each in operations) if wrong] == []
