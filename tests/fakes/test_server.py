"""What every fake can do, whatever its vendor: shown on a bare server and on result files."""

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request

import pytest

from tests.fakes import samples
from tests.fakes.connection import CUT, RecordedRequest, Reply
from tests.fakes.openai import OpenAIFake
from tests.fakes.server import FakeServer


def hello(fake: FakeServer, request: RecordedRequest, name: str) -> Reply:
    return Reply({"hello": name})


@pytest.fixture
def fake():
    with FakeServer() as server:
        server.add_route("GET", "/hello/(.+)", hello)
        yield server


def get(fake: FakeServer, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=5)
    connection.request("GET", path)
    return connection.getresponse()


def test_records_what_came(fake):
    assert get(fake, "/hello/a%2Fb?x=1&x=2").read() == b'{"hello": "a/b"}'
    request = fake.wait_for_requests(1)[0]
    assert (request.method, request.path, request.query) == ("GET", "/hello/a%2Fb", {"x": ["1", "2"]})
    assert request.answered.wait(5) and not request.client_left.is_set()
    assert get(fake, "/nobody").status == 404


def test_reads_chunked_bodies(fake):
    fake.add_route("POST", "/", lambda _fake, request: Reply(request.body))
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=5)
    connection.request(
        "POST", "/", body=iter([b'{"a":', b" 1}"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert connection.getresponse().read() == b'{"a": 1}' and fake.requests[-1].json == {"a": 1}


def test_a_handler_that_breaks_is_kept(fake):
    fake.add_route("GET", "/broken", lambda _fake, _request: 1 / 0)
    assert get(fake, "/broken").status == 500
    assert isinstance(fake.broken[0], ZeroDivisionError)


def test_streams_piece_by_piece_and_waits_for_the_client_to_leave(fake):
    def endless(fake: FakeServer, request: RecordedRequest) -> Reply:
        def pieces():
            yield "first\n"
            yield from fake.until_released()

        return Reply(pieces())

    fake.add_route("GET", "/endless", endless)
    with socket.create_connection(("127.0.0.1", fake.port), 5) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = b""
        while b"first" not in seen:
            seen += client.recv(4096)
        assert not fake.requests[0].client_left.is_set()
    assert fake.requests[0].client_left.wait(5)


def test_cut_and_close_delimited(fake):
    fake.add_route("GET", "/cut", lambda _fake, _request: Reply(iter(["a", CUT, "b"])))
    fake.add_route("GET", "/close", lambda _fake, _request: Reply(iter(["a", "b"]), close_delimited=True))
    with pytest.raises(http.client.IncompleteRead):
        get(fake, "/cut").read()
    answer = get(fake, "/close")
    assert answer.read() == b"ab" and answer.getheader("transfer-encoding") is None


def test_reset_forgets_and_lets_waiting_answers_go(fake):
    fake.add_route("GET", "/wait", lambda fake, _request: Reply(b"late", hold=fake.release))
    answers = []
    ask = threading.Thread(target=lambda: answers.append(get(fake, "/wait").read()))
    ask.start()
    fake.wait_for_requests(1)
    fake.reset()
    ask.join(5)
    assert answers == [b"late"] and fake.requests == [] and get(fake, "/wait").status == 404


def test_stop_ends_open_streams():
    fake = FakeServer().start()
    fake.add_route("GET", "/", lambda fake, _request: Reply(fake.until_released()))
    answer = get(fake, "/")
    fake.stop()
    with contextlib.suppress(http.client.IncompleteRead):  # it ends either way, never hangs
        assert answer.read() == b""
    with pytest.raises(TimeoutError):
        fake.wait_for_requests(2, timeout=0.01)


def test_many_streams_at_once(fake):
    fake.add_route("GET", "/many", lambda _fake, _request: Reply(iter([f"{number}\n" for number in range(20)])))
    answers: list[bytes] = []
    asking = [threading.Thread(target=lambda: answers.append(get(fake, "/many").read())) for _ in range(100)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(10)
    assert len(answers) == 100 and len({len(answer) for answer in answers}) == 1


def test_result_urls():
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    with OpenAIFake() as vendor:
        url = vendor.picture_url("cat", set(), (8, 8))
        assert urllib.request.urlopen(url, timeout=5).read() == samples.png(8, 8, "cat")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(Stay).open(vendor.picture_url("cat", {"REDIRECT"}, (8, 8)), timeout=5)
        assert caught.value.headers["location"].startswith("http://169.254.169.254/")
        assert vendor.picture("cat", {"TEXT"}, (8, 8)) == b"not a picture at all"
