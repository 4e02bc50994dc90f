"""The history: listed newest first, owned, and forgotten with the files that nothing else shows."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from services import history
from services.assemble import Services
from services.contracts.accounts import UserRequest
from services.contracts.history import HistoryEntry, HistoryRow
from services.contracts.images import ImageRequest
from services.domains import accounts
from services.settings import Settings
from services.tables.history import HistoryFileTable, HistoryTable

Login = Callable[..., dict[str, str]]
LIN = {"username": "lin", "password": "a-long-password"}


@pytest.fixture
def admin(login: Login) -> dict[str, str]:
    return login()


@pytest.fixture
def lin(services: Services, login: Login) -> dict[str, str]:
    """Headers of a user who administers nothing."""
    accounts.add(UserRequest(**LIN), services=services)
    return login(**LIN)


@pytest.fixture
def lin_id(client: FlaskClient, lin: dict[str, str]) -> str:
    return str(client.get("/api/auth/me", headers=lin).json["id"])


@pytest.fixture
def paint(services: Services, lin_id: str) -> Callable[[], str]:
    """Keep a picture of lin's; its address."""
    return lambda: services.files.keep(b"a picture", "images", ".png", owner=lin_id).url


@pytest.fixture
def record(services: Services, lin_id: str, paint: Callable[[], str]) -> Callable[..., Any]:
    """Write a row of lin's: `record("a cat")`."""

    def write(prompt: str = "a cat", **changes: Any) -> Any:
        given: dict[str, Any] = {
            "owner": lin_id,
            "prompt": prompt,
            "image_urls": [paint()],
            "model": "qwen-image",
            "provider": "dashscope",
            "parameters": {"seed": 7},
        }
        return history.record(HistoryEntry(**given | changes), database=services.database)

    return write


def listed(client: FlaskClient, who: dict[str, str], query: str = "") -> list[str]:
    return [row["prompt"] for row in client.get(f"/api/history{query}", headers=who).json["history"]]


def test_a_row_as_documented(client: FlaskClient, lin: dict[str, str], record: Any) -> None:
    made = record()
    body = client.get("/api/history", headers=lin).json
    (row,) = body["history"]
    assert body == {"history": [row], "count": 1, "next": None}
    assert row == {
        "id": made.id,
        "prompt": "a cat",
        "image_urls": made.image_urls,
        "timestamp": row["timestamp"],
        "model": "qwen-image",
        "parameters": {"seed": 7},
        "provider": "dashscope",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["timestamp"])


def test_all_come_without_a_limit_and_pages_with_one(client: FlaskClient, lin: dict[str, str], record: Any) -> None:
    for number in range(105):
        record(str(number))
    assert listed(client, lin) == [str(number) for number in reversed(range(105))]
    seen: list[str] = []
    after = ""
    while after is not None:
        body = client.get(f"/api/history?limit=50{after and '&after=' + after}", headers=lin).json
        assert body["count"] == 105 and len(body["history"]) <= 50
        seen += [row["prompt"] for row in body["history"]]
        after = body["next"]
    assert seen == listed(client, lin)


def test_after_without_a_limit_gives_the_rest(client: FlaskClient, lin: dict[str, str], record: Any) -> None:
    rows = [record(str(number)) for number in range(3)]
    assert listed(client, lin, f"?after={rows[1].id}") == ["0"]


@pytest.mark.parametrize("query", ["?limit=0", "?limit=101", "?limit=x", "?after=nobody", "?after=" + "x" * 100])
def test_a_page_that_cannot_be(client: FlaskClient, lin: dict[str, str], query: str) -> None:
    assert client.get(f"/api/history{query}", headers=lin).status_code == 422


def test_a_row_goes_with_its_files(client: FlaskClient, lin: dict[str, str], record: Any) -> None:
    first, second = record("first"), record("second")
    answer = client.delete(f"/api/history/{first.id}", headers=lin)
    assert (answer.status_code, answer.json) == (200, {"success": True})
    assert listed(client, lin) == ["second"]
    assert client.get(first.image_urls[0]).status_code == 404
    assert client.get(second.image_urls[0]).status_code == 200
    assert client.delete(f"/api/history/{first.id}", headers=lin).status_code == 404


def test_a_file_that_another_row_shows_stays(
    client: FlaskClient, lin: dict[str, str], record: Any, paint: Callable[[], str]
) -> None:
    shared, own = paint(), paint()
    first, second = record("first", image_urls=[shared, own]), record("second", image_urls=[shared])
    client.delete(f"/api/history/{first.id}", headers=lin)
    assert client.get(shared).status_code == 200
    assert client.get(own).status_code == 404
    client.delete(f"/api/history/{second.id}", headers=lin)
    assert client.get(shared).status_code == 404


def test_clear_forgets_one_s_own_alone(
    client: FlaskClient,
    lin: dict[str, str],
    admin: dict[str, str],
    record: Any,
    paint: Callable[[], str],
    services: Services,
) -> None:
    shared = paint()
    mine = [record(str(number), image_urls=[paint(), shared]) for number in range(3)]
    admin_id = client.get("/api/auth/me", headers=admin).json["id"]
    record("the admin's", owner=admin_id, image_urls=[shared])
    assert client.delete("/api/history", headers=lin).json == {"success": True}
    assert listed(client, lin) == []
    assert [client.get(row.image_urls[0]).status_code for row in mine] == [404] * 3
    assert client.get(shared).status_code == 200
    assert listed(client, admin) == ["the admin's"]
    with services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(HistoryFileTable)) == 1
    assert client.delete("/api/history", headers=lin).json == {"success": True}


def test_a_long_history_is_cleared(client: FlaskClient, lin: dict[str, str], record: Any) -> None:
    for number in range(3):
        record(str(number), image_urls=[f"/outputs/images/{number}-{index:032x}.png" for index in range(600)])
    assert client.delete("/api/history", headers=lin).status_code == 200
    assert listed(client, lin) == []


def test_a_file_that_is_gone_already_does_no_harm(
    client: FlaskClient, lin: dict[str, str], record: Any, settings: Settings
) -> None:
    made = record()
    (settings.data_dir / made.image_urls[0].removeprefix("/")).unlink()
    assert client.delete(f"/api/history/{made.id}", headers=lin).status_code == 200


@pytest.mark.parametrize(
    "url",
    ["/outputs/images/../../polymath.db", "/etc/passwd", "https://example.com/outputs/images/a.png", "/outputs/x"],
)
def test_no_row_removes_another_file(
    client: FlaskClient, lin: dict[str, str], record: Any, settings: Settings, url: str
) -> None:
    (settings.data_dir / "polymath.db").parent.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "polymath.db").write_bytes(b"data")
    made = record(image_urls=[url])
    assert client.delete(f"/api/history/{made.id}", headers=lin).status_code == 200
    assert (settings.data_dir / "polymath.db").exists()


def test_another_user_s_row_is_not_there(client: FlaskClient, lin: dict[str, str], login: Login, record: Any) -> None:
    made = record()
    accounts_of_mo = {"username": "mo", "password": "a-long-password"}
    client.post("/api/auth/users", json=accounts_of_mo, headers=login())
    mo = login(**accounts_of_mo)
    assert listed(client, mo) == []
    assert client.delete(f"/api/history/{made.id}", headers=mo).status_code == 404
    assert client.get(f"/api/history?after={made.id}", headers=mo).status_code == 422
    assert client.delete("/api/history", headers=mo).status_code == 200
    assert listed(client, lin) == ["a cat"]
    assert listed(client, login()) == ["a cat"]


@pytest.mark.parametrize("history_id", ["1", "history-0123456789abcdef", "history-%00", "x" * 5000])
def test_an_unknown_id_is_404(client: FlaskClient, lin: dict[str, str], history_id: str) -> None:
    assert client.delete(f"/api/history/{history_id}", headers=lin).status_code == 404


def test_a_stranger_sees_nothing(client: FlaskClient) -> None:
    assert client.get("/api/history").status_code == 401
    assert client.delete("/api/history").status_code == 401


def test_a_job_that_runs_again_leaves_one_row(client: FlaskClient, lin: dict[str, str], record: Any) -> None:
    first, second = record(job_id="job-1"), record(job_id="job-1")
    assert first.id == second.id
    (row,) = client.get("/api/history", headers=lin).json["history"]
    assert row["image_urls"] == second.image_urls
    client.delete(f"/api/history/{first.id}", headers=lin)
    assert client.get(first.image_urls[0]).status_code == 404
    assert client.get(second.image_urls[0]).status_code == 404


def test_a_prompt_with_nul_is_kept_without_it(client: FlaskClient, lin: dict[str, str], record: Any) -> None:
    record("a\0cat 🐈 你好")
    assert listed(client, lin) == ["acat 🐈 你好"]


# Replay


@pytest.fixture
def painted(services: Services, lin_id: str) -> Callable[..., dict[str, Any]]:
    """Let the demo paint for lin: `painted(seed=7)`; the row that it left."""

    def generate(**changes: Any) -> dict[str, Any]:
        asked = ImageRequest(**{"prompt": "a red fox", "model_id": "demo", "width": 64, "height": 64, **changes})
        job = services.jobs.submit("images.generate", asked, owner=lin_id)
        assert job.status == "completed", job.error
        with services.database.read() as session:
            row = session.scalar(select(HistoryTable).where(HistoryTable.job_id == job.id))
        return HistoryRow.model_validate(row).model_dump()

    return generate


def bytes_of(client: FlaskClient, row: dict[str, Any]) -> list[bytes]:
    return [client.get(url).data for url in row["image_urls"]]


@pytest.mark.parametrize("changes", [{}, {"seed": 7}, {"n": 3, "negative_prompt": "blue"}])
def test_a_replay_makes_the_same_picture_again(
    client: FlaskClient, lin: dict[str, str], painted: Any, changes: dict[str, Any]
) -> None:
    first = painted(**changes)
    answer = client.post(f"/api/history/{first['id']}/replay", headers=lin)
    assert answer.status_code == 200, answer.text
    again = answer.json
    assert again["id"] != first["id"] and set(again["image_urls"]).isdisjoint(first["image_urls"])
    same = ("prompt", "model", "provider", "parameters")
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    assert bytes_of(client, again) == bytes_of(client, first)
    assert len(listed(client, lin)) == 2


def test_a_replay_may_go_on_as_a_job(client: FlaskClient, lin: dict[str, str], painted: Any) -> None:
    answer = client.post(f"/api/history/{painted()['id']}/replay", headers=lin | {"Prefer": "respond-async"})
    # Without an engine host the request itself has run the job.
    assert answer.status_code in {200, 202}
    job = client.get(answer.headers["Location"], headers=lin).json
    assert (job["kind"], job["status"]) == ("images.generate", "completed")


def test_a_replay_under_one_key_is_one(client: FlaskClient, lin: dict[str, str], painted: Any) -> None:
    path, headers = f"/api/history/{painted()['id']}/replay", lin | {"Idempotency-Key": "once"}
    first, second = client.post(path, headers=headers), client.post(path, headers=headers)
    assert first.json == second.json
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(listed(client, lin)) == 2


def test_a_replay_lives_on_when_its_row_is_forgotten(client: FlaskClient, lin: dict[str, str], painted: Any) -> None:
    first = painted(seed=7)
    again = client.post(f"/api/history/{first['id']}/replay", headers=lin).json
    client.delete(f"/api/history/{first['id']}", headers=lin)
    assert client.get(first["image_urls"][0]).status_code == 404
    assert client.get(again["image_urls"][0]).status_code == 200


def test_what_cannot_be_replayed(client: FlaskClient, lin: dict[str, str], record: Any, login: Login) -> None:
    for history_id in ("history-0123456789abcdef", "x"):
        assert client.post(f"/api/history/{history_id}/replay", headers=lin).status_code == 404
    gone = record(model="a-model-that-is-gone", provider="local")
    assert client.post(f"/api/history/{gone.id}/replay", headers=lin).status_code == 404
    spoilt = record(model="demo", parameters={"n": "many"})
    assert client.post(f"/api/history/{spoilt.id}/replay", headers=lin).status_code == 409
    client.post("/api/auth/users", json={"username": "mo", "password": "a-long-password"}, headers=login())
    mo = login("mo", "a-long-password")
    assert client.post(f"/api/history/{gone.id}/replay", headers=mo).status_code == 404
