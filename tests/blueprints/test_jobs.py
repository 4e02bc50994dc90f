"""Jobs through the client: followed, given up, started again, and hidden from others."""

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from flask.testing import FlaskClient

from services.assemble import Services, assemble
from services.contracts.accounts import UserRequest
from services.contracts.jobs import JobView
from services.domains import accounts
from services.settings import Settings
from tests.live import wait_for
from tests.services.compute.toys import ToyRequest

Login = Callable[..., dict[str, str]]


@pytest.fixture
def services(settings: Settings, services: Services) -> Iterator[Services]:
    """Jobs run beside the request, as they do in service."""
    changed = assemble(settings.model_copy(update={"job_runner": "thread"}))
    yield changed
    changed.close()


@pytest.fixture
def me(client: FlaskClient, headers: dict[str, str]) -> str:
    return str(client.get("/api/auth/me", headers=headers).json["id"])


@pytest.fixture
def stranger(services: Services, client: FlaskClient, login: Login) -> dict[str, str]:
    """The headers of another user, who is no admin."""
    accounts.add(UserRequest(username="other", password="another-long-password"), services=services)
    return login("other", "another-long-password")


@pytest.fixture
def submit(services: Services, me: str) -> Callable[..., JobView]:
    def send(kind: str = "echo", **fields: object) -> JobView:
        return services.jobs.submit(f"toys.{kind}", ToyRequest(**fields), owner=me, request_id="req-1")

    return send


def frames(text: str) -> list[tuple[int, str, dict[str, object]]]:
    """Id, type and data of each event in an event stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
        if fields:
            found.append((int(fields["id"]), fields["event"], orjson.loads(fields["data"])))
    return found


def test_a_job_shows_itself(client: FlaskClient, headers: dict[str, str], submit) -> None:
    job = submit(number=3)
    shown = client.get(f"/api/jobs/{job.id}?wait=20", headers=headers).json
    assert (shown["id"], shown["task_id"], shown["status"], shown["progress"]) == (job.id, job.id, "completed", 100)
    assert (shown["result"], shown["error"], shown["attempt"]) == ({"number": 3}, None, 1)
    assert (shown["request_id"], shown["queue_position"]) == ("req-1", None)
    assert shown["created_at"].endswith("Z") and "." not in shown["created_at"]


def test_a_failed_job_tells_why_in_the_caller_s_language(client: FlaskClient, headers: dict[str, str], submit) -> None:
    job = submit("crash")
    english = client.get(f"/api/jobs/{job.id}?wait=20", headers=headers | {"Accept-Language": "en"}).json
    chinese = client.get(f"/api/jobs/{job.id}", headers=headers | {"Accept-Language": "zh"}).json
    assert english["error"]["code"] == chinese["error"]["code"] == "INTERNAL_ERROR"
    assert english["error"]["message"].startswith("The job failed") and "任务" in chinese["error"]["message"]
    assert "sentences" not in str(english)


def test_a_long_poll_ends_with_its_time(client: FlaskClient, headers: dict[str, str], submit, tmp_path: Path) -> None:
    job = submit("walk", gate=tmp_path / "gate")
    assert client.get(f"/api/jobs/{job.id}?wait=0.3", headers=headers).json["status"] == "running"
    assert client.get(f"/api/jobs/{job.id}?wait=301", headers=headers).status_code == 422


def test_a_running_job_is_cancelled_and_started_again(
    client: FlaskClient, headers: dict[str, str], submit, tmp_path: Path
) -> None:
    job = submit("walk", gate=tmp_path / "gate")
    assert client.post(f"/api/jobs/{job.id}/cancel", headers=headers).status_code == 200
    assert client.get(f"/api/jobs/{job.id}?wait=20", headers=headers).json["status"] == "canceled"
    (tmp_path / "gate").touch()
    assert client.post(f"/api/jobs/{job.id}/retry", headers=headers).status_code == 200
    assert client.get(f"/api/jobs/{job.id}?wait=20", headers=headers).json["status"] == "completed"
    assert client.post(f"/api/jobs/{job.id}/retry", headers=headers).status_code == 409


def test_jobs_are_listed_by_kind_and_status(client: FlaskClient, headers: dict[str, str], submit) -> None:
    for job in [submit(), submit("crash")]:
        client.get(f"/api/jobs/{job.id}?wait=20", headers=headers)
    page = client.get("/api/jobs?limit=1", headers=headers).json
    assert (page["count"], len(page["jobs"]), page["jobs"][0]["kind"]) == (2, 1, "toys.crash")
    rest = client.get(f"/api/jobs?after={page['next']}", headers=headers).json
    assert [job["kind"] for job in rest["jobs"]] == ["toys.echo"] and rest["next"] is None
    assert client.get("/api/jobs?status=failed", headers=headers).json["count"] == 1
    assert client.get("/api/jobs?kind=toys.echo", headers=headers).json["count"] == 1
    for wrong in ("jobs?status=odd", "jobs?after=nobody", f"jobs/{page['next']}/log?after={2**70}"):
        assert client.get(f"/api/{wrong}", headers=headers).status_code == 422


def test_events_are_followed_to_the_end(client: FlaskClient, headers: dict[str, str], submit, tmp_path: Path) -> None:
    job = submit("walk", gate=tmp_path / "gate")
    answer = client.get(f"/api/jobs/{job.id}/events", headers=headers, buffered=False)
    assert answer.mimetype == "text/event-stream"
    stream = answer.iter_encoded()
    text = ""
    while "event: progress" not in text:
        text += next(stream).decode()
    (tmp_path / "gate").touch()
    told = frames(text + b"".join(stream).decode())
    assert {kind for _, kind, _ in told} == {"status", "progress", "log", "artifact"}
    assert [data["status"] for _, kind, data in told if kind == "status"] == ["queued", "running", "completed"]
    assert [number for number, _, _ in told] == sorted({number for number, _, _ in told})


def test_a_reader_that_comes_back_gets_what_it_missed(client: FlaskClient, headers: dict[str, str], submit) -> None:
    job = submit("crash")
    client.get(f"/api/jobs/{job.id}?wait=20", headers=headers)
    told = frames(client.get(f"/api/jobs/{job.id}/events", headers=headers).text)
    assert told[-1][2]["error"]["code"] == "INTERNAL_ERROR"
    missed = client.get(f"/api/jobs/{job.id}/events", headers=headers | {"Last-Event-ID": str(told[0][0])})
    assert frames(missed.text) == told[1:]
    last = client.get(f"/api/jobs/{job.id}/events", headers=headers | {"Last-Event-ID": str(told[-1][0])})
    assert last.status_code == 204


@pytest.mark.parametrize("sent", ["x", "-1", "1e3", "٣", "9" * 30])
def test_a_strange_event_id_is_refused(client: FlaskClient, headers: dict[str, str], submit, sent: str) -> None:
    answer = client.get(f"/api/jobs/{submit().id}/events?after={sent}", headers=headers)
    assert answer.status_code == 422


def test_the_log_is_read_in_pages(client: FlaskClient, headers: dict[str, str], submit, tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    job = submit("walk", gate=tmp_path / "gate")
    client.get(f"/api/jobs/{job.id}?wait=20", headers=headers)
    lines = client.get(f"/api/jobs/{job.id}/log?type=log", headers=headers).json
    assert [event["data"] for event in lines["events"]] == [{"line": "on the way"}] and lines["next"] is None
    first = client.get(f"/api/jobs/{job.id}/log?limit=1", headers=headers).json
    second = client.get(f"/api/jobs/{job.id}/log?limit=1&after={first['next']}", headers=headers).json
    assert first["events"][0]["id"] < second["events"][0]["id"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/events"), ("GET", "/log"), ("POST", "/cancel"), ("POST", "/retry")]
)
def test_another_user_s_job_is_not_there(
    client: FlaskClient, headers: dict[str, str], stranger: dict[str, str], submit, method: str, path: str
) -> None:
    job = submit()
    client.get(f"/api/jobs/{job.id}?wait=20", headers=headers)
    assert client.open(f"/api/jobs/{job.id}{path}", method=method, headers=stranger).status_code == 404
    assert client.get("/api/jobs", headers=stranger).json == {"jobs": [], "count": 0, "next": None}


def test_an_admin_sees_every_job(client: FlaskClient, headers: dict[str, str], services: Services) -> None:
    job = services.jobs.submit("toys.echo", ToyRequest(), owner="somebody")
    wait_for(lambda: services.jobs.show(job.id).ended, what="the job")
    assert client.get(f"/api/jobs/{job.id}", headers=headers).json["owner"] == "somebody"


def test_an_unknown_job_is_not_found(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.get("/api/jobs/none", headers=headers).status_code == 404
    assert client.get(f"/api/jobs/{'x' * 65}", headers=headers).status_code == 422
