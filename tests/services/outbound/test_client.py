"""Calls and downloads: what is sent, what is followed, what is too much, and what is left behind."""

import socket
import threading
from itertools import chain
from pathlib import Path

import pytest

from services.cancellation import Cancellation, cancellable
from services.errors import Cancelled, Malformed, TooLarge, UpstreamFailed, UpstreamTimeout
from services.outbound import Outbound
from tests.fakes.connection import CUT, Reply
from tests.fakes.server import FakeServer
from tests.services.outbound.conftest import MakeOutbound


@pytest.fixture
def outbound(make_outbound: MakeOutbound, inside: FakeServer) -> Outbound:
    """A client whose users may call the server inside."""
    return make_outbound(allow_http_upstreams=True, allowed_upstreams=f"127.0.0.1:{inside.port}")


def redirect(server: FakeServer, path: str, to: str, status: int = 302) -> None:
    for method in ("GET", "POST"):
        server.add_route(method, path, lambda _server, _request: Reply(b"", status, {"location": to}))


@pytest.mark.parametrize("trusted", [True, False])
def test_a_call_sends_json_and_gives_the_answer(inside: FakeServer, outbound: Outbound, trusted: bool) -> None:
    status, headers, body = outbound.call(
        "POST", inside.url("/text"), json_body={"word": "你好"}, headers={"X-Key": "k"}, trusted=trusted
    )
    assert (status, body) == (200, b'{"heard": {"word": "\xe4\xbd\xa0\xe5\xa5\xbd"}}')
    assert headers["content-type"] == "application/json"
    assert inside.requests[0].headers["x-key"] == "k"
    assert inside.requests[0].headers["content-type"] == "application/json"


def test_a_post_is_never_led_elsewhere(inside: FakeServer, outbound: Outbound) -> None:
    redirect(inside, "/away", "/text", 307)
    status, _headers, _body = outbound.call("POST", inside.url("/away"), json_body={}, trusted=True)
    assert status == 307
    assert [request.path for request in inside.requests] == ["/away"]


def test_the_operators_addresses_are_not_checked(inside: FakeServer, make_outbound: MakeOutbound) -> None:
    assert make_outbound().call("GET", inside.url("/text"), trusted=True)[2] == b"hello"


def test_nobody_listens(make_outbound: MakeOutbound) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(UpstreamFailed) as raised:
            make_outbound().call("GET", url, trusted=True)
    assert raised.value.kind == "connection"


def test_a_connection_that_failed_is_tried_again(make_outbound: MakeOutbound) -> None:
    """The port opens while the client waits for its second try."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        timer = threading.Timer(0.2, taken.listen)
        timer.start()
        with pytest.raises(UpstreamTimeout):  # It listens by then, and says nothing.
            make_outbound(upstream_retries=2).call("GET", f"http://127.0.0.1:{port}/", read_seconds=0.2, trusted=True)
        timer.join()


def test_an_answer_without_end_is_cut_off(inside: FakeServer, outbound: Outbound) -> None:
    def endless(_server: FakeServer, _request: object) -> Reply:
        return Reply(iter([b"x" * 2**20] * 80))

    inside.add_route("GET", "/endless", endless)
    with pytest.raises(UpstreamFailed) as raised:
        outbound.call("GET", inside.url("/endless"), trusted=True)
    assert raised.value.kind == "too_large"


def test_a_body_that_ends_with_its_connection_ends_with_the_switch(inside: FakeServer, outbound: Outbound) -> None:
    """HTTP has taken the socket from the connection by then; the switch must find it all the same."""

    def started(server: FakeServer, _request: object) -> Reply:
        return Reply(chain(["x"], server.until_released()), close_delimited=True)

    inside.add_route("GET", "/started", started)
    switch, reading, raised = Cancellation(), threading.Event(), threading.Event()

    def work() -> None:
        with cancellable(switch), outbound.open("GET", inside.url("/started"), read_seconds=5, trusted=True) as answer:
            assert answer.read1() == b"x"
            reading.set()
            with pytest.raises(Cancelled):
                answer.read1()
            raised.set()

    threading.Thread(target=work, daemon=True).start()
    assert reading.wait(2)
    switch.cancel("client_left")
    assert raised.wait(1)
    assert inside.requests[0].client_left.wait(1)


# -- Downloads


def test_a_download_lands_in_a_file(inside: FakeServer, outbound: Outbound, tmp_path: Path) -> None:
    kind = outbound.download(inside.url("/text"), tmp_path / "file", max_bytes=100)
    assert kind == "text/plain"
    assert (tmp_path / "file").read_bytes() == b"hello"


def test_a_signed_query_is_not_encoded_again(inside: FakeServer, outbound: Outbound, tmp_path: Path) -> None:
    outbound.download(inside.url("/text?Signature=a%2Fb%2B%3D&Expires=1"), tmp_path / "file", max_bytes=100)
    assert inside.requests[0].query_string == "Signature=a%2Fb%2B%3D&Expires=1"


def test_redirects_are_followed(inside: FakeServer, outbound: Outbound, tmp_path: Path) -> None:
    redirect(inside, "/one", "/two", 301)
    redirect(inside, "/two", inside.url("/text"), 308)
    outbound.download(inside.url("/one"), tmp_path / "file", max_bytes=100)
    assert [request.path for request in inside.requests] == ["/one", "/two", "/text"]


def test_redirects_end(inside: FakeServer, outbound: Outbound, tmp_path: Path) -> None:
    redirect(inside, "/round", "/round")
    with pytest.raises(UpstreamFailed):
        outbound.download(inside.url("/round"), tmp_path / "file", max_bytes=100)
    assert len(inside.requests) == 6


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:1/",
        "//10.0.0.1/",
        "file:///etc/passwd",
        "ftp://8.8.8.8/",
    ],
)
def test_every_hop_is_checked(inside: FakeServer, outbound: Outbound, tmp_path: Path, to: str, trusted: bool) -> None:
    redirect(inside, "/away", to)
    with pytest.raises(Malformed):
        outbound.download(inside.url("/away"), tmp_path / "file", max_bytes=100, trusted=trusted)
    assert not (tmp_path / "file").exists()


def test_too_large_a_file_leaves_nothing(inside: FakeServer, outbound: Outbound, tmp_path: Path) -> None:
    inside.add_route("GET", "/large", lambda _server, _request: Reply(iter([b"x" * 1000] * 100)))
    with pytest.raises(TooLarge):
        outbound.download(inside.url("/large"), tmp_path / "file", max_bytes=5000)
    assert list(tmp_path.glob("file*")) == []


def test_half_a_file_leaves_nothing(inside: FakeServer, outbound: Outbound, tmp_path: Path) -> None:
    inside.add_route("GET", "/half", lambda _server, _request: Reply(iter([b"x" * 1000, CUT])))
    with pytest.raises(UpstreamFailed) as raised:
        outbound.download(inside.url("/half"), tmp_path / "file", max_bytes=5000)
    assert raised.value.kind == "stream_broken"
    assert list(tmp_path.glob("file*")) == []


def test_a_file_that_is_gone(inside: FakeServer, outbound: Outbound, tmp_path: Path) -> None:
    with pytest.raises(UpstreamFailed) as raised:
        outbound.download(inside.url("/gone"), tmp_path / "file", max_bytes=100)
    assert (raised.value.kind, raised.value.status) == ("download", 404)
