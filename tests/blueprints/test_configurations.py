"""Configurations: kept sealed, shown masked, owned, one active a provider, tried by a real call, and serving."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from backend.app import create_app
from services import probes
from services.assemble import Services
from services.contracts.accounts import UserRequest
from services.credentials import Credentials
from services.domains import accounts
from services.encryption import encrypt
from services.outbound import Outbound
from services.settings import Settings
from services.tables.configurations import ConfigurationTable
from tests.fakes.connection import Reply
from tests.fakes.vendor import VendorFake

Login = Callable[..., dict[str, str]]
LIN = {"username": "lin", "password": "a-long-password"}
KEY = "sk-0123456789abcdef"
QWEN = {"name": "my qwen", "provider": "qwen", "api_key": KEY, "model": "qwen-image"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Users may name the fakes, which listen on this machine; and no name needs a name server."""
    return settings.model_copy(update={"allow_http_upstreams": True, "allowed_upstreams": "127.0.0.1"})


@pytest.fixture
def admin(login: Login) -> dict[str, str]:
    return login()


@pytest.fixture
def lin(services: Services, login: Login) -> dict[str, str]:
    """Headers of a user who administers nothing."""
    accounts.add(UserRequest(**LIN), services=services)
    return login(**LIN)


@pytest.fixture
def make(client: FlaskClient, lin: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Make a configuration of lin's: `make(name="x")`; the row as it is answered."""

    def create(**changes: Any) -> dict[str, Any]:
        answer = client.post("/api/config", json=QWEN | changes, headers=lin)
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    return create


def listed(client: FlaskClient, who: dict[str, str]) -> list[dict[str, Any]]:
    return list(client.get("/api/config", headers=who).json["configs"])


def active(client: FlaskClient, who: dict[str, str]) -> set[str]:
    return {row["name"] for row in listed(client, who) if row["is_active"]}


# Keeping


def test_a_configuration_is_answered_as_it_is_listed(client: FlaskClient, lin: dict[str, str], make: Any) -> None:
    made = make()
    assert made == {
        "id": made["id"],
        "name": "my qwen",
        "provider": "qwen",
        "api_key": "sk-…cdef",
        "model": "qwen-image",
        "base_url": "",
        "is_active": True,
    }
    assert client.get("/api/config", headers=lin).json == {"configs": [made]}


def test_the_table_holds_no_key_in_the_clear(services: Services, make: Any) -> None:
    make()
    with services.database.read() as session:
        (row,) = session.scalars(select(ConfigurationTable))
    assert row.api_key and KEY not in row.api_key
    assert row.vendor == "dashscope"


def test_change_changes_what_is_named(client: FlaskClient, lin: dict[str, str], make: Any) -> None:
    made = make()
    answer = client.put(f"/api/config/{made['id']}", json={"model": "wan2.2-t2i-flash"}, headers=lin)
    assert answer.json == made | {"model": "wan2.2-t2i-flash"}
    answer = client.put(f"/api/config/{made['id']}", json={"api_key": "sk-fedcba9876543210"}, headers=lin)
    assert answer.json["api_key"] == "sk-…3210"
    answer = client.put(f"/api/config/{made['id']}", json={"api_key": "", "is_active": False}, headers=lin)
    assert answer.json == made | {"model": "wan2.2-t2i-flash", "api_key": "", "is_active": False}


def test_a_row_sent_back_as_shown_keeps_its_key(
    client: FlaskClient, lin: dict[str, str], services: Services, make: Any
) -> None:
    made = make()
    answer = client.put(f"/api/config/{made['id']}", json=made | {"name": "renamed"}, headers=lin)
    assert answer.json == made | {"name": "renamed"}
    (stored,) = services.credentials.of(_owner(services))
    assert stored.key(services.settings) == KEY


def _owner(services: Services) -> str:
    with services.database.read() as session:
        return str(session.scalar(select(ConfigurationTable.owner)))


def test_delete(client: FlaskClient, lin: dict[str, str], make: Any) -> None:
    made = make()
    answer = client.delete(f"/api/config/{made['id']}", headers=lin)
    assert (answer.status_code, answer.json) == (200, {"success": True})
    assert client.delete(f"/api/config/{made['id']}", headers=lin).status_code == 404
    assert listed(client, lin) == []


def test_one_is_active_for_each_provider_under_all_its_names(
    client: FlaskClient, lin: dict[str, str], make: Any
) -> None:
    first = make(name="first")
    make(name="second", provider="dashscope")
    assert active(client, lin) == {"first"}
    make(name="third", provider="qwen", is_active=True)
    make(name="ark", provider="doubao")
    assert active(client, lin) == {"third", "ark"}
    client.put(f"/api/config/{first['id']}", json={"is_active": True}, headers=lin)
    assert active(client, lin) == {"first", "ark"}
    client.put(f"/api/config/{first['id']}", json={"provider": "doubao"}, headers=lin)
    assert active(client, lin) == {"first"}


def test_the_database_itself_keeps_it_at_one(services: Services, make: Any) -> None:
    from sqlalchemy.exc import IntegrityError

    make(name="first")
    make(name="second")
    with pytest.raises(IntegrityError), services.database.write() as session:
        session.execute(update(ConfigurationTable).values(is_active=True))


def test_each_user_has_one_of_their_own(client: FlaskClient, admin: dict[str, str], make: Any) -> None:
    make(name="lin's")
    client.post("/api/config", json=QWEN | {"name": "admin's"}, headers=admin)
    assert active(client, admin) == {"lin's", "admin's"}


# Owners


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/config/{id}", {"name": "mine now"}),
        ("DELETE", "/api/config/{id}", None),
        ("POST", "/api/config/test", {"config_id": "{id}"}),
    ],
)
def test_another_user_s_is_not_there(
    client: FlaskClient, admin: dict[str, str], lin: dict[str, str], method: str, path: str, body: Any
) -> None:
    made = client.post("/api/config", json=QWEN, headers=admin).json
    body = {name: value.format(id=made["id"]) for name, value in body.items()} if body else None
    answer = client.open(path.format(id=made["id"]), method=method, json=body, headers=lin)
    assert answer.status_code == 404
    assert listed(client, lin) == []
    assert listed(client, admin) == [made]


@pytest.mark.parametrize("config_id", ["1", "config-0123456789abcdef", "config-%00", "..", "x" * 5000, "'; DROP TABLE"])
def test_an_unknown_id_is_404(client: FlaskClient, lin: dict[str, str], config_id: str) -> None:
    assert client.put(f"/api/config/{config_id}", json={"name": "x"}, headers=lin).status_code == 404
    assert client.delete(f"/api/config/{config_id}", headers=lin).status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_the_address_that_tries_is_no_configuration(client: FlaskClient, lin: dict[str, str], method: str) -> None:
    answer = client.open("/api/config/test", method=method, data="no JSON", headers=lin)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_a_stranger_sees_nothing(client: FlaskClient) -> None:
    assert client.get("/api/config").status_code == 401
    assert client.post("/api/config", json=QWEN).status_code == 401


def test_open_mode_needs_no_token(open_client: FlaskClient) -> None:
    assert open_client.post("/api/config", json=QWEN).status_code == 200
    assert [row["name"] for row in open_client.get("/api/config").json["configs"]] == ["my qwen"]


# Bad input


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"name": None}, 422, "name"),
        ({"name": ""}, 422, "name"),
        ({"name": "   "}, 422, "name"),
        ({"name": "x" * 10_240}, 422, "name"),
        ({"name": "a\r\nX-Evil: 1"}, 422, "name"),
        ({"name": "nul\0"}, 422, "name"),
        ({"name": ["a"]}, 422, "name"),
        ({"provider": "nobody"}, 422, "provider"),
        ({"provider": "demo"}, 422, "provider"),
        ({"provider": "local"}, 422, "provider"),
        ({"provider": "../../etc"}, 422, "provider"),
        ({"provider": ""}, 422, "provider"),
        ({"provider": "openai_like"}, 422, "base_url"),
        ({"api_key": "sk-a\r\nX-Evil: 1"}, 422, "api_key"),
        ({"api_key": "钥匙"}, 422, "api_key"),
        ({"api_key": "x" * 2000}, 422, "api_key"),
        ({"api_key": 7}, 422, "api_key"),
        ({"model": "x" * 10_240}, 422, "model"),
        ({"is_active": "perhaps"}, 422, "is_active"),
        ({"base_url": "x" * 10_240}, 422, "base_url"),
        ({"base_url": "not a url"}, 400, "base_url"),
        ({"base_url": "ftp://127.0.0.1/"}, 400, "base_url"),
        ({"base_url": "file:///etc/passwd"}, 400, "base_url"),
        ({"base_url": "http://10.0.0.1/v1"}, 400, "base_url"),
        ({"base_url": "http://[::1]/v1"}, 400, "base_url"),
        ({"base_url": "http://169.254.169.254/latest"}, 400, "base_url"),
        ({"base_url": "http://user:pass@127.0.0.1/"}, 400, "base_url"),
    ],
)
def test_what_cannot_be_stored(
    client: FlaskClient, lin: dict[str, str], changes: dict[str, Any], status: int, field: str
) -> None:
    sent = {name: value for name, value in (QWEN | changes).items() if value is not None}
    answer = client.post("/api/config", json=sent, headers=lin)
    assert answer.status_code == status, answer.text
    assert answer.json["error"]["details"]["field"] == field
    assert KEY not in answer.text and "X-Evil" not in str(answer.headers)
    assert listed(client, lin) == []
    made = client.post("/api/config", json=QWEN, headers=lin).json
    partial = {name: value for name, value in changes.items() if value is not None}
    if partial:
        assert client.put(f"/api/config/{made['id']}", json=partial, headers=lin).status_code == status
        assert listed(client, lin) == [made]


def test_a_key_is_stored_without_what_copying_brought(services: Services, make: Any) -> None:
    make(api_key=f"  {KEY}\n")
    (stored,) = services.credentials.of(_owner(services))
    assert stored.key(services.settings) == KEY


def test_nulls_of_a_page_s_empty_fields_are_nothing(make: Any) -> None:
    made = make(api_key=None, model=None, base_url=None)
    assert (made["api_key"], made["model"], made["base_url"]) == ("", "", "")


def test_there_is_a_most(client: FlaskClient, lin: dict[str, str], services: Services, make: Any) -> None:
    from services.domains.configurations import MOST_CONFIGURATIONS

    make()
    with services.database.write() as session:
        (row,) = session.scalars(select(ConfigurationTable))
        shared = {"owner": row.owner, "provider": "qwen", "vendor": "dashscope", "is_active": False}
        times = {"created_at": row.created_at, "updated_at": row.updated_at}
        for number in range(MOST_CONFIGURATIONS - 1):
            session.add(ConfigurationTable(id=f"config-{number:016x}", name=str(number), **shared, **times))
    answer = client.post("/api/config", json=QWEN, headers=lin)
    assert answer.status_code == 409


def test_after_a_change_of_the_secret_the_list_still_answers(
    services: Services, make: Any, lin: dict[str, str]
) -> None:
    make()
    other = services.settings.model_copy(update={"secret_key": "another-secret-of-this-test-0123456789"})
    client = create_app(services=replace(services, settings=other)).test_client()
    accounts.add(UserRequest(username="root", password="a-long-password", role="admin"), services=services)
    token = client.post("/api/v1/login", json={"username": "root", "password": "a-long-password"}).json["token"]
    (row,) = listed(client, {"Authorization": f"Bearer {token}"})
    assert row["api_key"] == "…"
    told = client.post(
        "/api/config/test", json={"config_id": row["id"]}, headers={"Authorization": f"Bearer {token}"}
    ).json
    assert told["ok"] is False and "SECRET_KEY" in told["detail"]


# Trying


@pytest.fixture
def fakes(
    openai_fake: VendorFake, dashscope_fake: VendorFake, ark_fake: VendorFake, anthropic_fake: VendorFake
) -> dict[str, VendorFake]:
    return {"openai": openai_fake, "qwen": dashscope_fake, "doubao": ark_fake, "anthropic": anthropic_fake}


def try_out(client: FlaskClient, who: dict[str, str], fake: VendorFake, **changes: Any) -> dict[str, Any]:
    sent = {"provider": "openai", "api_key": fake.key, "base_url": fake.base_url} | changes
    answer = client.post("/api/config/test", json=sent, headers=who)
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"ok", "latency_ms", "detail"}
    return dict(answer.json)


@pytest.mark.parametrize("provider", ["openai", "qwen", "doubao", "anthropic"])
def test_a_good_key_is_taken(
    client: FlaskClient, lin: dict[str, str], fakes: dict[str, VendorFake], provider: str
) -> None:
    told = try_out(client, lin, fakes[provider], provider=provider)
    assert told["ok"] is True, told
    assert 0 <= told["latency_ms"] < 15_000
    assert len(fakes[provider].requests) == 1


@pytest.mark.parametrize("provider", ["openai", "qwen", "doubao", "anthropic"])
def test_a_refused_key_is_an_answer(
    client: FlaskClient, lin: dict[str, str], fakes: dict[str, VendorFake], provider: str
) -> None:
    told = try_out(client, lin, fakes[provider], provider=provider, api_key="sk-this-is-a-wrong-key")
    assert told["ok"] is False
    assert "refused the key" in told["detail"] and "sk-this" not in told["detail"]


def test_a_stored_one_is_tried(client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake, make: Any) -> None:
    made = make(provider="openai", api_key=openai_fake.key, base_url=openai_fake.base_url, model="gpt-4o")
    answer = client.post("/api/config/test", json={"config_id": made["id"]}, headers=lin)
    assert answer.json["ok"] is True
    assert openai_fake.requests[0].headers["authorization"] == f"Bearer {openai_fake.key}"


def test_a_model_that_is_not_listed_is_told(client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake) -> None:
    assert "'gpt-9'" in try_out(client, lin, openai_fake, model="gpt-9")["detail"]
    assert "gpt-4o" not in try_out(client, lin, openai_fake, model="gpt-4o")["detail"]


def test_the_answer_comes_in_the_caller_s_language(
    client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake
) -> None:
    assert "服务商" in try_out(client, lin | {"Accept-Language": "zh-CN"}, openai_fake)["detail"]


def _answers(fake: VendorFake, reply: Callable[[], Reply]) -> None:
    fake.add_route("GET", "/v1/models", lambda _fake, _request: reply())


@pytest.mark.parametrize(
    "reply",
    [
        lambda: Reply("<html>nginx</html>", 200, {"content-type": "text/html"}),
        lambda: Reply("<html>nginx</html>", 502, {"content-type": "text/html"}),
        lambda: Reply({"error": {"message": "no", "code": "server_error"}}, 200),
        lambda: Reply([1, 2], 200),
        lambda: Reply(b"\xff\xfe\0", 200),
        lambda: Reply({}, 429, {"retry-after": "30"}),
        lambda: Reply("", 302, {"location": "http://169.254.169.254/"}),
        lambda: Reply(iter(["x" * 2**20] * 5)),
    ],
)
def test_whatever_a_provider_does_is_an_answer(
    client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake, reply: Callable[[], Reply]
) -> None:
    _answers(openai_fake, reply)
    told = try_out(client, lin, openai_fake)
    assert told["ok"] is False and told["detail"]
    assert len(openai_fake.requests) == 1


def test_a_key_that_the_provider_repeats_is_not_shown(
    client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake
) -> None:
    _answers(openai_fake, lambda: Reply({"error": {"message": f"bad request with {openai_fake.key}"}}, 400))
    told = try_out(client, lin, openai_fake)
    assert "bad request" in told["detail"] and openai_fake.key not in told["detail"]


def test_a_slow_provider_is_given_up(settings: Settings, openai_fake: VendorFake) -> None:
    _answers(openai_fake, lambda: Reply({}, hold=openai_fake.release))
    sealed = encrypt(openai_fake.key, settings)
    found = Credentials("", "", "openai", "", openai_fake.base_url, False, sealed)
    told = probes.probe(found, settings, language="en", seconds=0.2)
    assert told.ok is False and "in time" in told.detail
    assert 200 <= told.latency_ms < 3000


def test_a_provider_that_drips_is_given_up(settings: Settings, openai_fake: VendorFake) -> None:
    def drip() -> Any:
        while not openai_fake.release.is_set():
            yield " "
            yield None

    _answers(openai_fake, lambda: Reply(drip()))
    found = Credentials("", "", "openai", "", openai_fake.base_url, False, encrypt(openai_fake.key, settings))
    told = probes.probe(found, settings, language="en", seconds=0.3)
    assert told.ok is False and told.latency_ms < 3000


def test_nobody_there_is_an_answer(client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake) -> None:
    told = try_out(client, lin, openai_fake, base_url="http://127.0.0.1:9/v1")
    assert told["ok"] is False and "127.0.0.1" in told["detail"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 422),
        ({"config_id": "config-0123456789abcdef"}, 404),
        ({"provider": "nobody"}, 422),
        ({"provider": "openai", "base_url": "http://10.0.0.1/"}, 400),
        ({"provider": "openai", "base_url": "https://localhost.invalid/"}, 400),
        ({"provider": "openai_like"}, 422),
        ({"provider": "openai", "api_key": "a\nb"}, 422),
    ],
)
def test_what_cannot_be_tried(client: FlaskClient, lin: dict[str, str], sent: dict[str, Any], status: int) -> None:
    assert client.post("/api/config/test", json=sent, headers=lin).status_code == status


def test_the_operator_s_key_never_goes_to_a_user_s_address(
    services: Services, openai_fake: VendorFake, login: Login
) -> None:
    settings = services.settings.model_copy(update={"openai_api_key": "sk-operators-own-key"})
    client = create_app(services=replace(services, settings=settings)).test_client()
    answer = client.post(
        "/api/config/test", json={"provider": "openai", "base_url": openai_fake.base_url}, headers=login()
    )
    assert answer.json["ok"] is False
    assert [request.headers.get("authorization") for request in openai_fake.requests] == [None]


def without_list(fake: VendorFake) -> None:
    fake.add_route("GET", "/v1/models", lambda _fake, _request: Reply({}, 404))


def test_an_address_without_a_list_of_models_is_told(
    client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake
) -> None:
    without_list(openai_fake)
    told = try_out(client, lin, openai_fake)
    assert told["ok"] is False and "base_url" in told["detail"]


@pytest.mark.parametrize(("key", "ok"), [("sk-good", True), ("sk-wrong-wrong-wrong", False)])
def test_without_a_list_one_word_is_asked_for(
    client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake, key: str, ok: bool
) -> None:
    without_list(openai_fake)
    assert try_out(client, lin, openai_fake, api_key=key, model="gpt-4o")["ok"] is ok
    asked = openai_fake.requests_to("/chat/completions")
    assert [request.json["max_tokens"] for request in asked] == ([1] if ok else [])


# Serving


def ask(client: FlaskClient, who: dict[str, str], model: str | None) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return client.post("/api/chat/completions", json=body, headers=who)


def keys_seen(fake: VendorFake) -> list[str | None]:
    return [request.headers.get("authorization") for request in fake.requests]


@pytest.fixture
def operated(services: Services, openai_fake: VendorFake) -> FlaskClient:
    """The service of an operator with a key for OpenAI."""
    settings = services.settings.model_copy(
        update={"openai_api_key": "sk-good", "openai_base_url": openai_fake.base_url}
    )
    changed = replace(services, settings=settings, outbound=Outbound(settings))
    return create_app(services=changed).test_client()


def test_an_active_configuration_serves_before_the_operator_s_key(
    operated: FlaskClient, lin: dict[str, str], admin: dict[str, str], openai_fake: VendorFake
) -> None:
    assert ask(operated, lin, "openai/gpt-4o").status_code == 200
    mine = operated.post("/api/config", json={"name": "own", "provider": "openai", "api_key": "sk-mine"}, headers=lin)
    assert ask(operated, lin, "openai/gpt-4o").status_code == 502
    assert ask(operated, admin, "openai/gpt-4o").status_code == 200
    operated.put(f"/api/config/{mine.json['id']}", json={"is_active": False}, headers=lin)
    assert ask(operated, lin, "openai/gpt-4o").status_code == 200
    assert keys_seen(openai_fake) == ["Bearer sk-good", "Bearer sk-mine", "Bearer sk-good", "Bearer sk-good"]


@pytest.mark.parametrize("model", ["my vllm/gpt-4o", "my vllm"])
def test_a_configuration_s_name_is_a_provider(
    client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake, make: Any, model: str
) -> None:
    make(name="my vllm", provider="openai_like", api_key="sk-good", base_url=openai_fake.base_url, model="gpt-4o")
    answer = ask(client, lin, model)
    assert answer.status_code == 200, answer.text
    assert answer.json["model"] == model
    assert openai_fake.requests[0].json["model"] == "gpt-4o"


def test_another_user_s_name_is_no_provider(
    client: FlaskClient, admin: dict[str, str], openai_fake: VendorFake, make: Any
) -> None:
    make(name="my vllm", provider="openai_like", api_key="sk-good", base_url=openai_fake.base_url)
    assert ask(client, admin, "my vllm/gpt-4o").status_code == 404
    assert openai_fake.requests == []


def test_without_a_model_the_active_configuration_s_serves(
    client: FlaskClient, lin: dict[str, str], openai_fake: VendorFake, make: Any
) -> None:
    assert ask(client, lin, None).status_code == 503
    make(provider="qwen", model="qwen-image", name="paints and does not chat")
    make(provider="openai_like", name="vllm", api_key="sk-good", base_url=openai_fake.base_url, model="gpt-4o")
    assert ask(client, lin, None).status_code == 200
    assert openai_fake.requests[0].json["model"] == "gpt-4o"


def test_status_tells_a_user_s_own_providers_too(
    client: FlaskClient, lin: dict[str, str], admin: dict[str, str], make: Any
) -> None:
    make(provider="doubao")
    make(provider="qwen", api_key="")
    make(provider="openai", is_active=False)
    assert client.get("/api/status", headers=lin).json["providers"] == ["ark"]
    assert client.get("/api/status", headers=admin).json["providers"] == []


def test_an_operator_s_key_does_not_follow_a_configuration_s_address(
    operated: FlaskClient, lin: dict[str, str], ark_fake: VendorFake
) -> None:
    sent = {"name": "x", "provider": "openai", "base_url": ark_fake.base_url}
    assert operated.post("/api/config", json=sent, headers=lin).status_code == 200
    assert ask(operated, lin, "openai/gpt-4o").status_code == 502
    assert keys_seen(ark_fake) == [None]


def test_a_key_of_another_secret_says_so_when_it_should_serve(
    services: Services, lin: dict[str, str], make: Any
) -> None:
    make(provider="openai", name="own")
    with services.database.write() as session:
        session.execute(update(ConfigurationTable).values(api_key="spoilt"))
    client = create_app(services=services).test_client()
    answer = ask(client, lin, "openai/gpt-4o")
    assert answer.status_code == 409
    assert "SECRET_KEY" in answer.json["detail"]
