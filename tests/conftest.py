"""One chain: settings -> services -> app -> client -> login. Override a link, never patch.

Every test has a folder of its own for its database and files; the tables come from the migrations.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from backend.setup import migrate
from services.assemble import Services, assemble
from services.contracts.models import PullRequest
from services.database import open_database
from services.domains import accounts, models
from services.settings import Settings
from services.tables.accounts import UserTable
from services.usage import utc_now

pytest_plugins = [
    "tests.face_models",
    "tests.fakes.fixtures",
    "tests.guards",
    "tests.language_models",
    "tests.live",
    "tests.servers",
    "tests.sounds",
    "tests.taught_pictures",
    "tests.text_adapters",
    "tests.tiny_models",
    "tests.toy_trainer",
    "tests.vision_models",
    "tests.voices",
]

ADMIN_PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests do not reach them."""
    for name, field in Settings.model_fields.items():
        for alias in [name, *getattr(field.validation_alias, "choices", [])]:
            monkeypatch.delenv(str(alias).upper(), raising=False)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest tables and the first admin, to be copied.

    The hash of the admin's password is a cheap one: a real one takes as long as all else that a test does.
    """
    folder = tmp_path_factory.mktemp("migrated")
    database = open_database(f"sqlite:///{folder / 'polymath.db'}")
    migrate(database.engine)
    with database.write() as session:
        cheap = PasswordHasher.from_parameters(CHEAPEST).hash(ADMIN_PASSWORD)
        named = {"id": f"user-{'ad' * 8}", "username": "admin", "username_key": "admin", "role": "admin"}
        session.add(UserTable(password_hash=cheap, created_at=utc_now(), **named))
    database.close()
    return folder / "polymath.db"


@pytest.fixture
def settings(tmp_path: Path, migrated: Path) -> Settings:
    """Settings of one test: everything in a folder of its own, nothing from the environment."""
    shutil.copy(migrated, tmp_path / "polymath.db")
    return Settings(
        _env_file=None,
        secret_key="a-secret-that-only-tests-use-0123456789",
        admin_password=ADMIN_PASSWORD,
        default_language="en",
        instance_dir=tmp_path,
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        job_runner="inline",
        model_idle_seconds=-1,
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """The services of one test, all in this process."""
    assembled = assemble(settings, place="inline")
    accounts.ensure_admin(services=assembled)
    yield assembled
    assembled.close()


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services=services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def login(client: FlaskClient) -> Callable[..., dict[str, str]]:
    """Log somebody in and give the headers to send: `client.get(path, headers=login())`."""

    def log_in(username: str = "admin", password: str = ADMIN_PASSWORD) -> dict[str, str]:
        answer = client.post("/api/v1/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json['token']}"}

    return log_in


@pytest.fixture
def open_client(services: Services) -> FlaskClient:
    """A client of the same service under AUTH=open."""
    opened = replace(services, settings=services.settings.model_copy(update={"auth": "open"}))
    return create_app(services=opened).test_client()


@pytest.fixture(scope="session")
def chat_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the starter chat model, pulled as a user pulls it; the download is cached."""
    folder = tmp_path_factory.mktemp("models")
    scratch = tmp_path_factory.mktemp("pull")
    settings = Settings(_env_file=None, secret_key="x" * 32, instance_dir=scratch, models_dir=folder)
    assembled = assemble(settings)
    models.pull(PullRequest(model="smollm2-135m-instruct"), services=assembled)
    assembled.close()
    return folder
