"""A server that is inside, and clients that the operator allows more or less."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.outbound import Outbound
from services.settings import Settings
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.server import FakeServer

MakeOutbound = Callable[..., Outbound]


@pytest.fixture
def inside() -> Iterator[FakeServer]:
    """A server on 127.0.0.1: `/text` answers, and what else a test adds."""
    with FakeServer() as server:
        server.add_route(
            "GET", "/text", lambda _server, _request: Reply("hello", headers={"content-type": "text/plain"})
        )
        server.add_route("POST", "/text", _echo)
        yield server


def _echo(_server: FakeServer, request: RecordedRequest) -> Reply:
    return Reply({"heard": request.json})


@pytest.fixture
def make_outbound(tmp_path: Path) -> MakeOutbound:
    """A client under the settings that a test names."""

    def make(**wanted: object) -> Outbound:
        short = {"upstream_connect_seconds": 1, "upstream_idle_seconds": 5, "upstream_answer_seconds": 5}
        return Outbound(Settings(_env_file=None, instance_dir=tmp_path, **short | {"upstream_retries": 0} | wanted))

    return make
