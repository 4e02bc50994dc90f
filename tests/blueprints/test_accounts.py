"""Logging in and out, passwords, keys and users, each as a client does it."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.assemble import Services
from services.contracts.accounts import UserRequest
from services.domains import accounts

Login = Callable[..., dict[str, str]]
ADMIN = {"username": "admin", "password": "correct-horse-battery"}
LIN = {"username": "lin", "password": "a-long-password"}


@pytest.fixture
def lin(services: Services, login: Login) -> dict[str, str]:
    """Headers of a user who administers nothing."""
    accounts.add(UserRequest(**LIN), services=services)
    return login(**LIN)


def send_login(client: FlaskClient, address: str = "192.0.2.1", **changes: str) -> Any:
    return client.post("/api/v1/login", json=ADMIN | changes, environ_base={"REMOTE_ADDR": address})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def works(client: FlaskClient, token: str) -> bool:
    return bool(client.get("/api/auth/me", headers=bearer(token)).status_code == 200)


def test_login_answers_as_documented(client: FlaskClient) -> None:
    answer = send_login(client)
    assert answer.status_code == 200
    assert set(answer.json) == {"token", "expires_in", "token_type", "refresh_token"}
    assert answer.json["expires_in"] == 3600
    assert answer.json["token_type"] == "Bearer"
    assert works(client, answer.json["token"])


@pytest.mark.parametrize(
    ("sent", "field", "reason"),
    [
        ({}, "username", "required"),
        ({"username": "admin"}, "password", "required"),
        ({"username": "", "password": "x"}, "username", "required"),
        ({"username": "admin", "password": ""}, "password", "required"),
        ({"username": 1, "password": "x"}, "username", "string_type"),
        ({"username": None, "password": "x"}, "username", "string_type"),
        ({"username": ["admin"], "password": "x"}, "username", "string_type"),
        ({"username": "x" * 65, "password": "x"}, "username", "string_too_long"),
        ({"username": "admin", "password": "x" * 1025}, "password", "string_too_long"),
    ],
)
def test_a_login_that_cannot_be(client: FlaskClient, sent: dict[str, Any], field: str, reason: str) -> None:
    answer = client.post("/api/v1/login", json=sent)
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "INVALID_REQUEST"
    assert answer.json["error"]["details"] == {"field": field, "reason": reason}


@pytest.mark.parametrize("username", ["admin", "nobody", "anonymous", "a\x00b", "' OR 1=1 --", "a\r\nX-Injected: 1"])
def test_a_wrong_login_tells_nothing(client: FlaskClient, username: str) -> None:
    answer = send_login(client, username=username, password="wrong-password")
    assert answer.status_code == 401
    assert answer.json["detail"] == "The username or the password is wrong."
    assert "X-Injected" not in answer.headers


def test_wrong_logins_are_told_in_chinese_too(client: FlaskClient) -> None:
    sent = ADMIN | {"password": "wrong-password"}
    answer = client.post("/api/v1/login", json=sent, headers={"Accept-Language": "zh-CN"})
    assert answer.json["error"]["message"] == "用户名或密码错误。"


def test_five_failed_logins_for_a_name_from_anywhere(client: FlaskClient) -> None:
    told = [send_login(client, f"192.0.2.{turn}", password="wrong-password").status_code for turn in range(6)]
    assert told == [401] * 5 + [429]
    answer = send_login(client, "192.0.2.99")
    assert answer.status_code == 429
    assert answer.json["error"]["code"] == "TOO_MANY_REQUESTS"
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_failed_logins_of_an_address_for_any_name(client: FlaskClient) -> None:
    for turn in range(5):
        assert send_login(client, username=f"user{turn}").status_code == 401
    assert send_login(client).status_code == 429
    assert send_login(client, "192.0.2.2").status_code == 200


def test_refresh_gives_a_new_pair_and_ends_the_old(client: FlaskClient) -> None:
    old = send_login(client).json
    new = client.post("/api/v1/refresh", json={"refresh_token": old["refresh_token"]}).json
    assert set(new) == set(old)
    assert works(client, new["token"])
    assert not works(client, old["token"])


def test_an_old_refresh_token_ends_them_all(client: FlaskClient) -> None:
    old, other = send_login(client).json, send_login(client).json
    new = client.post("/api/v1/refresh", json={"refresh_token": old["refresh_token"]}).json
    again = client.post("/api/v1/refresh", json={"refresh_token": old["refresh_token"]})
    assert again.status_code == 401
    assert not works(client, new["token"])
    assert client.post("/api/v1/refresh", json={"refresh_token": new["refresh_token"]}).status_code == 401
    assert works(client, other["token"])


@pytest.mark.parametrize(
    ("token", "status"), [("", 400), (None, 400), (5, 400), ("x", 401), ("a.b.c", 401), ("密", 401)]
)
def test_a_refresh_token_that_is_none(client: FlaskClient, token: Any, status: int) -> None:
    assert client.post("/api/v1/refresh", json={"refresh_token": token}).status_code == status


def test_logout_ends_the_pair(client: FlaskClient) -> None:
    pair, other = send_login(client).json, send_login(client).json
    answer = client.post("/api/v1/logout", headers=bearer(pair["token"]))
    assert (answer.status_code, answer.json) == (200, {"success": True})
    assert not works(client, pair["token"])
    assert client.post("/api/v1/refresh", json={"refresh_token": pair["refresh_token"]}).status_code == 401
    assert client.post("/api/v1/logout", headers=bearer(pair["token"])).status_code == 401
    assert works(client, other["token"])


def test_me(client: FlaskClient, lin: dict[str, str]) -> None:
    me = client.get("/api/auth/me", headers=lin).json
    assert set(me) == {"id", "username", "role", "disabled", "created_at"}
    assert (me["username"], me["role"]) == ("lin", "user")
    assert me["created_at"].endswith("Z") and "." not in me["created_at"]


def test_another_password(client: FlaskClient, lin: dict[str, str], login: Login) -> None:
    elsewhere = login(**LIN)
    sent = {"old_password": LIN["password"], "new_password": "another-password"}
    assert client.put("/api/auth/password", json=sent, headers=lin).json == {"success": True}
    assert client.get("/api/auth/me", headers=lin).status_code == 200
    assert client.get("/api/auth/me", headers=elsewhere).status_code == 401
    assert send_login(client, **LIN).status_code == 401
    assert send_login(client, **LIN | {"password": "another-password"}).status_code == 200


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("wrong-password", "another-password", "old_password"), (LIN["password"], "short", "new_password")],
)
def test_a_password_that_cannot_be(client: FlaskClient, lin: dict[str, str], old: str, new: str, field: str) -> None:
    answer = client.put("/api/auth/password", json={"old_password": old, "new_password": new}, headers=lin)
    assert answer.status_code == 422
    assert answer.json["error"]["details"]["field"] == field
    assert send_login(client, **LIN).status_code == 200


def test_a_password_is_not_guessed_with_a_token(client: FlaskClient, lin: dict[str, str]) -> None:
    sent = {"old_password": "wrong-password", "new_password": "another-password"}
    told = [client.put("/api/auth/password", json=sent, headers=lin).status_code for _ in range(6)]
    assert told == [422] * 5 + [429]


def test_a_key_is_shown_once(client: FlaskClient, lin: dict[str, str], services: Services) -> None:
    made = client.post("/api/auth/keys", json={"name": "laptop", "expires_days": 90}, headers=lin).json
    assert set(made) == {"id", "name", "key", "expires_at"}
    assert client.get("/api/auth/me", headers=bearer(made["key"])).json["username"] == "lin"
    services.key_uses.close()
    answer = client.get("/api/auth/keys", headers=lin)
    listed = answer.json["keys"][0]
    assert made["key"] not in answer.text
    assert made["key"].startswith(listed["prefix"])
    assert listed["last_used"].endswith("Z")
    assert listed["id"] == made["id"]


def test_a_revoked_key(client: FlaskClient, lin: dict[str, str]) -> None:
    made = client.post("/api/auth/keys", json={"name": "laptop"}, headers=lin).json
    assert client.delete(f"/api/auth/keys/{made['id']}", headers=lin).json == {"success": True}
    assert not works(client, made["key"])
    assert client.delete(f"/api/auth/keys/{made['id']}", headers=lin).status_code == 404


def test_another_users_key(client: FlaskClient, lin: dict[str, str], login: Login) -> None:
    made = client.post("/api/auth/keys", json={"name": "root"}, headers=login()).json
    answer = client.delete(f"/api/auth/keys/{made['id']}", headers=lin)
    assert answer.status_code == 404
    assert works(client, made["key"])
    assert client.get("/api/auth/keys", headers=lin).json == {"keys": [], "count": 0, "next": None}


def test_a_key_has_no_session_to_end(client: FlaskClient, lin: dict[str, str]) -> None:
    made = client.post("/api/auth/keys", json={"name": "laptop"}, headers=lin).json
    assert client.post("/api/v1/logout", headers=bearer(made["key"])).status_code == 409
    assert works(client, made["key"])


@pytest.mark.parametrize(
    "sent",
    [{}, {"name": ""}, {"name": "a\x00b"}, {"name": "a\nb"}, {"name": "x" * 65}, {"name": "x", "expires_days": 0},
     {"name": "x", "expires_days": 10**9}, {"name": "x", "expires_days": "soon"}],
)  # fmt: skip
def test_a_key_that_cannot_be(client: FlaskClient, lin: dict[str, str], sent: dict[str, Any]) -> None:
    answer = client.post("/api/auth/keys", json=sent, headers=lin)
    assert answer.status_code == 422
    assert answer.json["error"]["code"] == "VALIDATION_ERROR"


def test_users(client: FlaskClient, login: Login) -> None:
    admin = login()
    made = client.post("/api/auth/users", json=LIN, headers=admin).json
    assert (made["username"], made["role"], made["disabled"]) == ("lin", "user", False)
    assert client.get("/api/auth/users", headers=admin).json["count"] == 2
    assert client.get(f"/api/auth/users/{made['id']}", headers=admin).json == made
    changed = client.patch(f"/api/auth/users/{made['id']}", json={"role": "admin"}, headers=admin).json
    assert changed == made | {"role": "admin"}


def test_a_disabled_user(client: FlaskClient, lin: dict[str, str], login: Login) -> None:
    user_id, admin = client.get("/api/auth/me", headers=lin).json["id"], login()
    assert client.patch(f"/api/auth/users/{user_id}", json={"disabled": True}, headers=admin).json["disabled"]
    assert client.get("/api/auth/me", headers=lin).status_code == 401
    assert send_login(client, **LIN).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/user-0123456789abcdef"), ("PATCH", "/user-0123456789abcdef")],
)
def test_users_are_an_admins_affair(client: FlaskClient, lin: dict[str, str], method: str, path: str) -> None:
    answer = client.open(f"/api/auth/users{path}", method=method, json={"wrong": 1}, headers=lin)
    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "FORBIDDEN"


def test_the_last_admin(client: FlaskClient, login: Login) -> None:
    admin = login()
    user_id = client.get("/api/auth/me", headers=admin).json["id"]
    answer = client.patch(f"/api/auth/users/{user_id}", json={"disabled": True}, headers=admin)
    assert answer.status_code == 409
    assert client.get("/api/auth/me", headers=admin).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (ADMIN, 409),
        (LIN | {"username": "Admin"}, 409),
        (LIN | {"username": "anonymous"}, 409),
        (LIN | {"username": "a b"}, 422),
        (LIN | {"username": "a\x00b"}, 422),
        (LIN | {"password": "short"}, 422),
        (LIN | {"role": "root"}, 422),
        (LIN | {"disabled": "perhaps"}, 422),
        ({"username": "lin"}, 422),
    ],
)
def test_a_user_that_cannot_be(client: FlaskClient, login: Login, sent: dict[str, Any], status: int) -> None:
    assert client.post("/api/auth/users", json=sent, headers=login()).status_code == status


@pytest.mark.parametrize("user_id", ["user-0123456789abcdef", "anonymous", "%00", "a%0d%0aX-Injected:1", "..", "'"])
def test_no_such_user(client: FlaskClient, login: Login, user_id: str) -> None:
    answer = client.patch(f"/api/auth/users/{user_id}", json={"disabled": True}, headers=login())
    assert answer.status_code == 404
    assert "X-Injected" not in answer.headers


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=%00", "after=key-0123456789abcdef"])
def test_a_page_that_cannot_be(client: FlaskClient, login: Login, query: str) -> None:
    assert client.get(f"/api/auth/keys?{query}", headers=login()).status_code == 422
