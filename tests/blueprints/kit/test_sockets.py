"""WebSockets by a real client, under gunicorn's gevent workers and under threads."""

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from flask import Flask
from websocket import WebSocket, create_connection
from werkzeug.serving import make_server

from blueprints.kit import conversation
from tests.echo_service import MOST_BYTES, make_echo
from tests.live import LiveServer, wait_for
from tests.processes import memory_mb, open_sockets

SECONDS = 20


class Echo(LiveServer):
    application = "tests.echo_service:create_echo_service()"


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """gunicorn with gevent; strict about origins."""
    server = Echo(
        tmp_path_factory.mktemp("echo"),
        ALLOWED_ORIGINS="https://one.example,https://two.example",
        RATE_LIMIT_DEFAULT="10000/minute",
        MAX_SOCKETS="4",
    ).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def token(echo: LiveServer) -> str:
    return echo.login()["Authorization"]


@pytest.fixture
def threads_url(app: Flask) -> Iterator[str]:
    """The same sockets in threads, as under `python wsgi.py`."""
    app.register_blueprint(make_echo())
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


_opened: list[WebSocket] = []


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    """Leave no socket open: a user may have but four here."""
    yield
    for client in _opened:
        client.shutdown()
    _opened.clear()


def connect(
    server: LiveServer | str, path: str, token: str | None = None, *, more: dict[str, str] | None = None, **options: Any
) -> WebSocket:
    url = server if isinstance(server, str) else server.url
    header = {"Authorization": token} if token else {}
    header.update(more or {})
    options.setdefault("suppress_origin", "origin" not in options)
    client = create_connection(url.replace("http", "ws") + path, header=header, timeout=SECONDS, **options)
    _opened.append(client)
    return client


def hear(client: WebSocket) -> Any:
    return json.loads(client.recv())


def close_of(client: WebSocket) -> tuple[int, str]:
    """The code and the reason of the close frame, whatever comes before it."""
    while True:
        kind, data = client.recv_data(control_frame=True)
        if kind == websocket.ABNF.OPCODE_CLOSE:
            return struct.unpack("!H", data[:2])[0], data[2:].decode()


def ends(server: LiveServer, name: str) -> int:
    return requests.get(f"{server.url}/echo/ends", timeout=SECONDS).json()["ends"].count(name)


def test_the_header_logs_in(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/socket", token)
    client.send("hello")
    assert hear(client) == {"heard": "hello", "user": "admin"}


def test_a_first_message_logs_in(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/socket")
    client.send(json.dumps({"type": "auth", "token": token.removeprefix("Bearer ")}))
    client.send("hello" * 100_000)  # At once, while the token is still judged.
    assert hear(client) == {"heard": "hello" * 100_000, "user": "admin"}


def test_a_first_message_beside_the_header_is_no_message(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/socket", token)
    client.send(json.dumps({"type": "auth", "token": token.removeprefix("Bearer ")}))
    client.send("hello")
    assert hear(client)["heard"] == "hello"


@pytest.mark.parametrize(
    "first", ["hello", "[" * 5000, '{"type": "auth"}', '{"type": "auth", "token": 5}', '{"type":"auth","token":"x"}']
)
def test_any_other_first_message_is_4401(echo: LiveServer, first: str) -> None:
    client = connect(echo, "/echo/socket")
    client.send(first)
    code, reason = close_of(client)
    assert code == 4401
    assert "log in" in reason.lower()


def test_binary_garbage_is_no_login(echo: LiveServer) -> None:
    client = connect(echo, "/echo/socket")
    client.send_binary(bytes(range(256)))
    assert close_of(client)[0] == 4401


def test_a_large_first_message_is_refused_by_its_size(echo: LiveServer) -> None:
    client = connect(echo, "/echo/socket")
    client.send(json.dumps({"type": "auth", "token": "x" * 200_000}))
    assert close_of(client)[0] == 1009


def test_a_wrong_header_is_4401_and_says_so_in_chinese(echo: LiveServer) -> None:
    client = connect(echo, "/echo/socket", "Bearer nonsense", more={"Accept-Language": "zh"})
    assert close_of(client) == (4401, "令牌无效，请重新登录。")


@pytest.mark.slow
def test_silence_instead_of_a_login_ends_after_ten_seconds(echo: LiveServer) -> None:
    code, reason = close_of(connect(echo, "/echo/socket"))
    assert code == 4401
    assert '{"type": "auth"' in reason


def test_a_token_in_the_url_is_refused_before_the_handshake(echo: LiveServer, token: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(echo, f"/echo/socket?token={token[7:]}")
    assert refused.value.status_code == 400
    assert b"does not belong in a URL" in refused.value.resp_body


@pytest.mark.parametrize("origin", ["https://one.example", "HTTPS://two.example"])
def test_pages_of_allowed_origins_may_talk(echo: LiveServer, token: str, origin: str) -> None:
    client = connect(echo, "/echo/socket", token, origin=origin)
    client.send("hello")
    assert hear(client)["heard"] == "hello"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://one.example.evil.example"])
def test_pages_of_other_origins_are_403(echo: LiveServer, token: str, origin: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(echo, "/echo/socket", token, origin=origin)
    assert refused.value.status_code == 403
    assert b"ALLOWED_ORIGINS" in refused.value.resp_body


def test_a_plain_request_is_400(echo: LiveServer, token: str) -> None:
    answer = requests.get(f"{echo.url}/echo/socket", headers={"Authorization": token}, timeout=SECONDS)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize("missing", ["Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_a_broken_handshake_is_400(echo: LiveServer, missing: str) -> None:
    header = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
    header |= {"Sec-WebSocket-Version": "13"}
    del header[missing]
    answer = requests.get(f"{echo.url}/echo/socket", headers=header, timeout=SECONDS)
    assert answer.status_code == 400
    assert "RFC 6455" in answer.json()["detail"]


def test_sockets_leave_no_file_open(echo: LiveServer, token: str) -> None:
    def visit() -> None:
        client = connect(echo, "/echo/socket", token)
        client.send("hello")
        hear(client)
        client.close()

    visit()
    before = sockets_of(echo)
    for _ in range(30):
        visit()
    wait_for(lambda: sockets_of(echo) <= before, what="the files to be closed", seconds=10)


def sockets_of(server: LiveServer) -> int:
    return sum(open_sockets(pid) for pid in server.processes())


def test_large_messages_go_there_and_back_whole(echo: LiveServer, token: str) -> None:
    client, text = connect(echo, "/echo/socket", token), "ä" * (MOST_BYTES // 2 - 100)
    client.send(text)
    assert hear(client)["heard"] == text


def test_a_message_of_10_mb_is_1009_with_the_limit(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/socket", token)
    sender = threading.Thread(target=send_quietly, args=(client, b"x" * 10**7))
    sender.start()
    code, reason = close_of(client)
    assert code == 1009
    assert str(MOST_BYTES) in reason
    sender.join()


def send_quietly(client: WebSocket, data: bytes) -> None:
    """The server hangs up in the middle of this."""
    with suppress(OSError):
        client.send_binary(data)


def test_what_a_browser_offers_to_deflate_is_not_taken(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/socket", token, more={"Sec-WebSocket-Extensions": "permessage-deflate"})
    assert "sec-websocket-extensions" not in client.headers


def test_bytes_that_are_no_frames_end_that_connection_alone(echo: LiveServer, token: str) -> None:
    broken, whole = connect(echo, "/echo/socket", token), connect(echo, "/echo/socket", token)
    broken.sock.sendall(bytes(range(255, 0, -1)) * 40)
    assert broken.sock.recv(2**16)[:1] in (b"", b"\x88")  # Nothing, or a close frame.
    whole.send("hello")
    assert hear(whole)["heard"] == "hello"


def test_an_error_is_a_frame_and_then_1011(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/failure", token)
    client.send("service")
    told = hear(client)
    assert told["type"] == "error"
    assert told["detail"] == "There is no such thing."
    assert told["error"]["code"] == "NOT_FOUND"
    assert told["request_id"].startswith("req-")
    assert close_of(client) == (1011, "NOT_FOUND")


def test_a_fault_of_ours_shows_nothing_of_itself(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/failure", token)
    client.send("anything")
    assert close_of(client) == (1011, "INTERNAL_ERROR")
    wait_for(lambda: "a fault" in echo.read_log(), what="the log", seconds=5)


def test_a_long_reason_is_cut(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/failure", token)
    client.send("end")
    code, reason = close_of(client)
    assert code == 4000
    assert len(reason.encode()) <= 123


def test_a_view_talks_while_the_client_is_silent(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/silence", token)
    assert hear(client) == hear(client) == {"type": "nothing"}


@pytest.mark.parametrize("how", ["close frame", "hang up", "in the middle of a frame"])
def test_the_view_ends_when_the_client_leaves(echo: LiveServer, token: str, how: str) -> None:
    client, before = connect(echo, "/echo/socket", token), ends(echo, "echo")
    client.send("hello")
    hear(client)
    if how == "close frame":
        client.close()
    else:
        if how == "in the middle of a frame":
            client.sock.sendall(b"\x82\xfe\xff\xff\0\0\0\0half of it")
        client.shutdown()
    wait_for(lambda: ends(echo, "echo") > before, what="the view's end", seconds=3)


def test_a_client_that_never_reads_ends_its_view_and_holds_up_nobody(echo: LiveServer, token: str) -> None:
    before, client = ends(echo, "flood"), connect(echo, "/echo/flood", token)
    client.send("begin")
    other = connect(echo, "/echo/socket", token)
    other.send("hello")
    assert hear(other)["heard"] == "hello"
    wait_for(lambda: ends(echo, "flood") > before, what="the flood's end", seconds=10)
    assert max(memory_mb(echo.processes()).values()) < 400
    client.shutdown()


def test_a_client_that_sends_much_and_reads_nothing_is_held_back(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/socket", token)
    client.sock.settimeout(1)
    with pytest.raises((websocket.WebSocketTimeoutException, OSError)):
        for _ in range(200):
            client.send("x" * 900_000)
    assert max(memory_mb(echo.processes()).values()) < 400
    client.shutdown()


def test_the_newest_message_wins_and_drops_are_counted(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/newest", token)
    for number in range(50):
        client.send(str(number))
    first, second = hear(client), hear(client)
    assert (first["heard"], first["number"]) == ("0", 1)
    assert (second["heard"], second["number"]) == ("49", 50)


def test_a_user_has_so_many_sockets_and_no_more(echo: LiveServer, token: str) -> None:
    wait_for(lambda: can_open(echo, token), what="earlier sockets to end", seconds=15)
    held = [connect(echo, "/echo/silence", token) for _ in range(4)]
    for client in held:
        hear(client)
    refused = connect(echo, "/echo/silence", token)
    assert close_of(refused) == (4429, "4 sockets are open; close one of them")
    for client in held:
        client.close()
    wait_for(lambda: can_open(echo, token), what="room for a new one", seconds=5)


def can_open(server: LiveServer, token: str) -> bool:
    client = connect(server, "/echo/silence", token)
    try:
        return hear(client) == {"type": "nothing"}
    except (ValueError, OSError, websocket.WebSocketException):
        return False
    finally:
        client.close()


def test_a_socket_is_no_request_in_the_log(echo: LiveServer, token: str) -> None:
    client = connect(echo, "/echo/socket", token)
    client.close()
    wait_for(lambda: "socket ended" in echo.read_log(), what="its line", seconds=5)
    lines = [json.loads(line) for line in echo.read_log().splitlines() if line.startswith("{")]
    requests_told = [line for line in lines if line["message"] == "request" and line["route"] == "/echo/socket"]
    assert {line["status"] for line in requests_told} <= {400, 403}  # Refused before the handshake.
    assert "Traceback" not in "".join(line.get("exception", "") for line in lines if "a fault" not in str(line))


@pytest.mark.slow
def test_a_stop_says_1012_at_once(tmp_path: Path) -> None:
    server = Echo(tmp_path, AUTH="open").start()
    client = connect(server, "/echo/socket")
    client.send("hello")
    assert hear(client) == {"heard": "hello", "user": "anonymous"}
    stopping, begun = threading.Thread(target=server.stop), time.monotonic()
    stopping.start()
    assert close_of(client) == (1012, "the server is restarting")
    assert time.monotonic() - begun < 5
    client.shutdown()
    stopping.join(20)
    assert server.process.returncode == 0


def test_threads_serve_sockets_too(threads_url: str) -> None:
    login = requests.post(
        f"{threads_url}/api/v1/login", json={"username": "admin", "password": "correct-horse-battery"}, timeout=SECONDS
    )
    client = connect(threads_url, "/echo/socket", f"Bearer {login.json()['token']}")
    text = "x" * 900_000
    client.send(text)
    assert hear(client) == {"heard": text, "user": "admin"}


def test_a_revoked_login_ends_its_sockets(threads_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "RECHECK_SECONDS", 0.1)
    login = requests.post(
        f"{threads_url}/api/v1/login", json={"username": "admin", "password": "correct-horse-battery"}, timeout=SECONDS
    )
    header = {"Authorization": f"Bearer {login.json()['token']}"}
    client = connect(threads_url, "/echo/socket", header["Authorization"])
    client.send("hello")
    assert hear(client)["heard"] == "hello"
    assert requests.post(f"{threads_url}/api/v1/logout", headers=header, timeout=SECONDS).ok
    assert close_of(client)[0] == 4401


def test_a_client_is_asked_whether_it_lives(app: Flask, threads_url: str) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 0.2}
    app.extensions["services"].settings.auth = "open"
    client = connect(threads_url, "/echo/socket")
    assert client.recv_frame().opcode == websocket.ABNF.OPCODE_PING
    assert close_of(client) == (1008, "Ping/Pong timeout")
