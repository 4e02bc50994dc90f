"""A backup, restored elsewhere: the service there answers the same, whatever database it stands on."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend import backup
from backend.app import create_app
from backend.setup import alembic_config, migrate, prepare
from services import dump
from services.assemble import Services, assemble
from services.database import open_database
from services.errors import Conflict, Invalid
from services.settings import Settings
from tests.painted import small_picture

Login = Callable[..., dict[str, str]]
ROUTES = ["/api/v1/datasets", "/api/config", "/api/history", "/api/auth/keys", "/api/jobs", "/api/auth/users"]


@pytest.fixture
def used(client: FlaskClient, login: Login) -> FlaskClient:
    """A service that was used: a key, a configuration, a data set, a picture that was painted."""
    headers = login()
    client.post("/api/auth/keys", json={"name": "laptop"}, headers=headers)
    configured = {"name": "mine", "provider": "qwen", "api_key": "sk-0123456789", "model": "qwen-turbo"}
    client.post("/api/config", json=configured, headers=headers)
    rows = orjson.dumps([{"instruction": "a", "response": "b"}])
    client.post("/api/v1/datasets/upload", data={"file": (io.BytesIO(rows), "x.json"), "name": "x"}, headers=headers)
    client.post("/api/generate", json={"prompt": "a pond", "model": "demo", "provider": "demo"}, headers=headers)
    client.post("/api/upload", data={"files": (io.BytesIO(small_picture(1)), "a.png")}, headers=headers)
    return client


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[Services]:
    """A new installation of each kind."""
    home = tmp_path / "elsewhere"
    folders = {"instance_dir": home, "data_dir": home / "data", "models_dir": home / "models"}
    url = "sqlite:///fresh.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    changed = settings.model_dump() | folders | {"database_url": url}
    fresh = assemble(Settings(_env_file=None, **changed), place="inline")
    prepare(fresh)
    yield fresh
    fresh.close()


def answers(client: FlaskClient, headers: dict[str, str]) -> dict[str, Any]:
    told = {route: client.get(route, headers=headers).json for route in ROUTES}
    return {route: {name: value for name, value in body.items() if name != "timestamp"} for route, body in told.items()}


def test_a_restored_service_answers_the_same(
    used: FlaskClient, login: Login, services: Services, elsewhere: Services, tmp_path: Path
) -> None:
    headers = login()
    card = backup.write(services, tmp_path / "all.tar")
    restored, missing = backup.restore(elsewhere, tmp_path / "all.tar")
    assert (restored, missing) == (card, [])
    other = create_app(services=elsewhere).test_client()
    assert answers(other, headers) == answers(used, headers)
    (row,) = other.get("/api/history", headers=headers).json["history"]
    picture = used.get(row["image_urls"][0]).data
    assert picture[:4] == b"\x89PNG"
    assert other.get(row["image_urls"][0]).data == picture
    (owner,) = {user["id"] for user in other.get("/api/auth/users", headers=headers).json["users"]}
    (credentials,) = elsewhere.credentials.of(owner)
    assert credentials.key(elsewhere.settings) == "sk-0123456789"
    again = other.post("/api/generate", json={"prompt": "a hill", "model": "demo", "provider": "demo"}, headers=headers)
    assert again.status_code == 200, again.json


def test_a_backup_of_an_older_version_is_migrated(elsewhere: Services, tmp_path: Path, used: FlaskClient) -> None:
    """As the second version of the tables had it: later columns and tables come with the migrations."""
    from alembic import command

    database = open_database(f"sqlite:///{tmp_path / 'older.db'}")
    command.upgrade(alembic_config(database.engine), "0002")
    with database.begin() as connection:
        names = [table.name for table in dump.tables_of(connection)]
    rows = b"".join(dump.lines(database.engine))
    database.close()
    older = tmp_path / "older.tar"
    card = {"version": "0.0", "revision": "0002", "created_at": "2026-01-01T00:00:00Z"}
    with tarfile.open(older, "w") as archive:
        for name, data in {backup.CARD: orjson.dumps(card), backup.MODELS: b"[]", backup.ROWS: rows}.items():
            backup._add(archive, name, data)
    backup.restore(elsewhere, older, replace=True)
    assert not migrate(elsewhere.database.engine)
    with elsewhere.database.begin() as connection:
        assert {table.name for table in dump.tables_of(connection)} > set(names)


def test_what_is_here_goes_only_when_that_was_said(used: FlaskClient, services: Services, tmp_path: Path) -> None:
    backup.write(services, tmp_path / "all.tar")
    with pytest.raises(Conflict, match="datasets"):
        backup.restore(services, tmp_path / "all.tar")
    backup.restore(services, tmp_path / "all.tar", replace=True)
    assert "datasets" in backup.in_use(services)


@pytest.mark.parametrize("case", ["text", "empty", "another_tar", "newer"])
def test_what_is_no_backup_leaves_everything(case: str, used: FlaskClient, services: Services, tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    if case in {"text", "empty"}:
        file.write_text("hello" if case == "text" else "")
    else:
        with tarfile.open(file, "w") as archive:
            card = {"version": "99", "revision": "9999"} if case == "newer" else {}
            backup._add(archive, backup.CARD if card else "a.txt", orjson.dumps(card))
    before = backup.in_use(services)
    with pytest.raises(Invalid):
        backup.restore(services, file, replace=True)
    assert backup.in_use(services) == before


def test_a_tar_that_climbs_writes_nothing_outside(elsewhere: Services, services: Services, tmp_path: Path) -> None:
    backup.write(services, tmp_path / "all.tar")
    with tarfile.open(tmp_path / "all.tar", "a") as archive:
        backup._add(archive, "data/../../climbed.txt", b"x")
    with pytest.raises(Invalid):
        backup.restore(elsewhere, tmp_path / "all.tar")
    assert not list(tmp_path.rglob("climbed.txt"))


def test_the_two_commands(app: Flask, used: FlaskClient, tmp_path: Path) -> None:
    run, file = app.test_cli_runner().invoke, str(tmp_path / "all.tar")
    made = run(args=["backup", file])
    assert (made.exit_code, Path(file).stat().st_mode & 0o777) == (0, 0o600), made.output
    assert run(args=["backup", file]).exit_code == 2
    assert "--replace" in run(args=["restore", file]).output
    restored = run(args=["restore", "--replace", file])
    assert "Restored what version" in restored.output, restored.output
