"""What a user may name: public addresses and what the operator lists; nothing is sent before that is known."""

import pytest

from services.errors import Malformed
from services.outbound.guard import Guard
from services.settings import Settings
from tests.fakes.server import FakeServer
from tests.services.outbound.conftest import MakeOutbound


def guard(**wanted: object) -> Guard:
    """A guard under the settings that a test names; http is taken, so that addresses alone decide."""
    return Guard(Settings(_env_file=None, **{"allow_http_upstreams": True} | wanted))


INSIDE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2001:0:1::1]",
    "[fc00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
]


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_addresses_inside_are_refused(scheme: str, host: str) -> None:
    with pytest.raises(Malformed) as raised:
        guard().check_url(f"{scheme}://{host}/x")
    assert raised.value.details == {"field": "url", "reason": "url_refused"}


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]"])
def test_public_addresses_are_taken(host: str) -> None:
    guard().check_url(f"https://{host}/x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no url",
        "8.8.8.8/x",
        "//8.8.8.8/x",
        "https://",
        "https:///x",
        "https://?x",
        "https://8.8.8.8:port/x",
        "https://8.8.8.8:99999/x",
        "https://[::1/x",
        "https://8.8.8.8 /x",
        "https://8.8.8.8/x\r\nHost: inside",
        "https://8.8.8.8\\@127.0.0.1/x",
        "https://user@8.8.8.8/x",
        "https://user:password@8.8.8.8/x",
        "https://@8.8.8.8/x",
        "file:///etc/passwd",
        "ftp://8.8.8.8/x",
        "gopher://8.8.8.8/x",
        "data:text/plain,x",
        "https://" + "a" * 64 + ".example/x",
        "https://no-such-name.invalid/x",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(Malformed):
        guard().check_url(url)


def test_http_wants_the_operators_word() -> None:
    strict = guard(allow_http_upstreams=False)
    with pytest.raises(Malformed):
        strict.check_url("http://8.8.8.8/x")
    strict.check_url("http://8.8.8.8/x", plain_http=True)
    strict.check_url("https://8.8.8.8/x")
    guard().check_url("http://8.8.8.8/x")


def test_plain_http_opens_no_address_inside() -> None:
    with pytest.raises(Malformed):
        guard(allow_http_upstreams=False).check_url("http://127.0.0.1/x", plain_http=True)


@pytest.mark.parametrize(
    ("listed", "url", "allowed"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/", True),
        ("127.0.0.1", "http://127.0.0.2:8000/", False),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8001/", False),
        ("127.0.0.1:443", "https://127.0.0.1/", True),
        ("127.0.0.1:80", "http://127.0.0.1/", True),
        ("[::1]:8000", "http://[::1]:8000/", True),
        ("[::1]:8000", "http://[::1]:8001/", False),
        ("127.0.0.0/8", "http://127.9.9.9/", True),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]/", True),
        ("127.0.0.0/8", "http://10.0.0.1/", False),
        ("::1/128", "http://[::1]/", True),
        ("localhost", "http://localhost:1234/", True),
        ("LocalHost", "http://localhost/", True),
        ("localhost", "http://127.0.0.1/", False),
        ("localhost:9", "http://localhost:10/", False),
        ("10.0.0.0/8, localhost", "http://localhost/", True),
    ],
)
def test_the_operator_lists_what_is_allowed_inside(listed: str, url: str, allowed: bool) -> None:
    listing = guard(allowed_upstreams=listed)
    if allowed:
        listing.check_url(url)
        return
    with pytest.raises(Malformed):
        listing.check_url(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_no_byte_leaves_before_the_check(inside: FakeServer, make_outbound: MakeOutbound, host: str) -> None:
    url = f"http://{host}:{inside.port}/text"
    with pytest.raises(Malformed):
        make_outbound(allow_http_upstreams=True).call("POST", url, json_body={}, trusted=False)
    assert inside.requests == []


def test_the_connection_is_checked_by_itself(inside: FakeServer, make_outbound: MakeOutbound) -> None:
    """A name that led outside when it was checked leads inside a moment later: the pool does not believe it."""
    pool = make_outbound(allow_http_upstreams=True)._guarded
    with pytest.raises(Malformed):
        pool.request("GET", f"http://localhost:{inside.port}/text")
    assert inside.requests == []


def test_a_listed_name_is_called(inside: FakeServer, make_outbound: MakeOutbound) -> None:
    """localhost may be [::1] first, where nobody listens: its other address serves."""
    outbound = make_outbound(allow_http_upstreams=True, allowed_upstreams=f"localhost:{inside.port}")
    status, _headers, body = outbound.call("GET", f"http://localhost:{inside.port}/text", trusted=False)
    assert (status, body) == (200, b"hello")
    assert inside.requests[0].headers["host"] == f"localhost:{inside.port}"
