"""Who gets in: every bad token, every way of sending one, under both AUTH settings."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services
from services.contracts.accounts import KeyRequest, UserChange, UserRequest
from services.domains import accounts, keys
from tests.live import wait_for

Login = Callable[..., dict[str, str]]
ME = "/api/auth/me"


@pytest.fixture
def token(login: Login) -> str:
    return login()["Authorization"].removeprefix("Bearer ")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def assert_unauthorized(answer: Any) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.json["error"]["code"] == "UNAUTHORIZED"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_good_token(client: FlaskClient, token: str) -> None:
    assert client.get(ME, headers=bearer(token)).json["username"] == "admin"
    assert client.get(ME, headers={"Authorization": f"bearer  {token}"}).status_code == 200


FORGERIES: dict[str, Callable[[dict[str, Any], str], str]] = {
    "no signature": lambda claims, _key: jwt.encode(claims, None, algorithm="none"),
    "another key": lambda claims, _key: jwt.encode(claims, "another-secret-of-thirty-two-chars-or-more"),
    "another algorithm": lambda claims, key: jwt.encode(claims, key, algorithm="HS512"),
    "expired": lambda claims, key: jwt.encode(claims | {"exp": time.time() - 1}, key),
    "born later": lambda claims, key: jwt.encode(claims | {"iat": time.time() + 600}, key),
    "endless": lambda claims, key: jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key),
    "no session": lambda claims, key: jwt.encode({k: v for k, v in claims.items() if k != "session"}, key),
    "another pair": lambda claims, key: jwt.encode(claims | {"pair": "0" * 32}, key),
    "another session": lambda claims, key: jwt.encode(claims | {"session": "0" * 32}, key),
    "strange types": lambda claims, key: jwt.encode(claims | {"session": ["x"], "pair": {"a": 1}}, key),
    "a NUL": lambda claims, key: jwt.encode(claims | {"session": "a\x00b"}, key),
    "a date as text": lambda claims, key: jwt.encode(claims | {"exp": "never"}, key),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_token(client: FlaskClient, token: str, services: Services, forge: Any) -> None:
    assert_unauthorized(client.get(ME, headers=bearer(forge(claims_of(token), services.settings.secret_key))))


def test_a_changed_claim(client: FlaskClient, token: str) -> None:
    head, _, signature = token.split(".")
    other = jwt.encode(claims_of(token) | {"sub": "user-0000000000000000"}, "x" * 32).split(".")[1]
    assert_unauthorized(client.get(ME, headers=bearer(f"{head}.{other}.{signature}")))


def test_a_role_in_a_token_counts_for_nothing(client: FlaskClient, login: Login, services: Services) -> None:
    accounts.add(UserRequest(username="lin", password="a-long-password"), services=services)
    token = login("lin", "a-long-password")["Authorization"].removeprefix("Bearer ")
    boss = jwt.encode(claims_of(token) | {"role": "admin"}, services.settings.secret_key)
    refused = client.get("/api/auth/users", headers=bearer(boss))
    assert refused.status_code == 403
    assert "X-RateLimit-Remaining" in refused.headers


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer sk-",
        "Bearer sk-unknown",
        "Bearer a b",
        "Basic YWRtaW46Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5",
        "Digest x",
        "x",
        "Bearer \xe9",
        "Bearer " + "x" * 7000,
        "Bearer null",
        "Bearer W10.W10.W10",
    ],
)
@pytest.mark.parametrize("browser", ["client", "open_client"])
def test_a_malformed_header(request: pytest.FixtureRequest, browser: str, header: str) -> None:
    answer = request.getfixturevalue(browser).get("/api/status", headers={"Authorization": header})
    assert_unauthorized(answer)


def test_an_expired_token_that_was_good_before(services: Services) -> None:
    short = services.settings.model_copy(update={"access_token_seconds": 1})
    client = create_app(settings=short).test_client()
    sent = {"username": "admin", "password": short.admin_password}
    headers = bearer(client.post("/api/v1/login", json=sent).json["token"])
    assert client.get(ME, headers=headers).status_code == 200
    wait_for(lambda: client.get(ME, headers=headers).status_code == 401, what="the token to expire", seconds=10)
    assert "expired" in client.get(ME, headers=headers).json["detail"]


def test_a_refresh_token_opens_nothing(client: FlaskClient) -> None:
    sent = {"username": "admin", "password": "correct-horse-battery"}
    pair = client.post("/api/v1/login", json=sent).json
    assert_unauthorized(client.get(ME, headers=bearer(pair["refresh_token"])))
    assert_unauthorized(client.post("/api/v1/refresh", json={"refresh_token": pair["token"]}))


def test_a_disabled_users_token_and_key(client: FlaskClient, login: Login, services: Services) -> None:
    user = accounts.add(UserRequest(username="lin", password="a-long-password"), services=services)
    key = keys.create(KeyRequest(name="laptop"), services=services, owner=user.id).key
    sent = [login("lin", "a-long-password"), bearer(key)]
    assert [client.get(ME, headers=headers).status_code for headers in sent] == [200, 200]
    accounts.change(user.id, UserChange(disabled=True), services=services)
    for headers in sent:
        assert_unauthorized(client.get(ME, headers=headers))


def test_a_token_in_the_address_counts_for_nothing(client: FlaskClient, token: str) -> None:
    for name in ("token", "jwt", "access_token", "api_key"):
        assert_unauthorized(client.get(f"{ME}?{name}={token}"))
    client.set_cookie("access_token_cookie", token)
    assert_unauthorized(client.get(ME))


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer rubbish"}, {"Authorization": "Basic x"}])
def test_a_public_route_takes_any_token(client: FlaskClient, header: dict[str, str]) -> None:
    assert client.get("/healthz", headers=header).status_code == 200
    sent = {"username": "admin", "password": "correct-horse-battery"}
    assert client.post("/api/v1/login", json=sent, headers=header).status_code == 200


def test_an_unknown_path_a_wrong_method_and_a_preflight_need_no_token(client: FlaskClient) -> None:
    assert client.get("/api/nothing-here").status_code == 404
    assert client.delete(ME).status_code == 405
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    assert client.options(ME, headers=asked).status_code == 200


@pytest.mark.parametrize("path", ["/api/status", "/metrics", ME, "/api/usage"])
def test_required_asks_for_a_token(client: FlaskClient, path: str) -> None:
    assert_unauthorized(client.get(path))


def test_open_asks_for_none_but_under_v1_and_for_accounts(open_client: FlaskClient) -> None:
    assert open_client.get("/api/status").status_code == 200
    for path in (ME, "/api/auth/keys", "/api/auth/users"):
        assert_unauthorized(open_client.get(path))
    assert_unauthorized(open_client.post("/api/v1/logout"))


def test_open_still_knows_who_has_a_token(open_client: FlaskClient) -> None:
    sent = {"username": "admin", "password": "correct-horse-battery"}
    token = open_client.post("/api/v1/login", json=sent).json["token"]
    assert open_client.get(ME, headers=bearer(token)).json["username"] == "admin"


def test_every_route_under_v1_and_every_account_route_is_closed_when_open(open_client: FlaskClient) -> None:
    app: Flask = open_client.application
    public = {"/api/v1/login", "/api/v1/refresh"}
    closed = [
        (rule.rule.replace("<string:id>", "x"), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
        if rule.rule.startswith(("/api/v1/", "/api/auth/")) and rule.rule not in public
    ]
    assert len(closed) >= 10
    for path, method in closed:
        assert open_client.open(path, method=method).status_code == 401, path
