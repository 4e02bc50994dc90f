"""What `deploy/` says agrees with the service: settings there are settings here, and nothing keeps a stream back."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.settings import Settings

DEPLOY = Path(__file__).parent.parent / "deploy"
# What the images before and beside the service know, and what only compose reads.
OTHERS = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PATH", "PYTHONUNBUFFERED", "FLASK_APP"}
NAMES = {
    str(alias).upper()
    for name, field in Settings.model_fields.items()
    for alias in [name, *getattr(field.validation_alias, "choices", [])]
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text()


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    told = {name for service in compose["services"].values() for name in service.get("environment", {})}
    block = re.search(r"^ENV (PATH=.*?)\nUSER", text_of("Dockerfile"), re.DOTALL | re.MULTILINE)
    assert block
    told |= set(re.findall(r"^\s*([A-Z_]+)=", block[1], re.MULTILINE))
    assert {"DATABASE_URL", "MODELS_DIR", "TRUSTED_PROXIES"} <= told
    assert told - OTHERS - NAMES == set()


def test_jobs_find_workers_and_both_sides_one_database(compose: dict[str, Any]) -> None:
    web, worker = compose["services"]["web"], compose["services"]["worker"]
    for name in ("DATABASE_URL", "REDIS_URL", "JOB_RUNNER", "SECRET_KEY"):
        assert web["environment"][name] == worker["environment"][name]
    assert worker["command"][:3] == ["celery", "-A", "backend.worker"]
    assert {"gpu", "cpu", "io"} == set(worker["command"][worker["command"].index("-Q") + 1].split(","))
    assert web["volumes"] == worker["volumes"]


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = text_of("compose.yaml")
    assert set(re.findall(r"\$\{((?:POSTGRES_PASSWORD|SECRET_KEY)[^}]{0,2})", text)) == {
        "POSTGRES_PASSWORD:?",
        "SECRET_KEY:?",
    }
    published = [name for name, service in compose["services"].items() if "ports" in service]
    assert published == ["nginx"]


def test_nginx_lets_streams_sockets_and_the_largest_upload_through() -> None:
    nginx = text_of("nginx.conf")
    for line in ("proxy_buffering off;", "proxy_request_buffering off;", "proxy_set_header Upgrade $http_upgrade;"):
        assert line in nginx
    settings = Settings(_env_file=None)
    (most_gib,) = re.findall(r"client_max_body_size (\d+)g;", nginx)
    assert int(most_gib) * 1024 == settings.max_dataset_mb
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", nginx)
    assert int(seconds) > settings.sync_wait_seconds


def test_the_image_runs_as_nobody_that_matters_and_carries_no_secret() -> None:
    dockerfile, ignored = text_of("Dockerfile"), (DEPLOY.parent / ".dockerignore").read_text().split()
    users = re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)
    assert users == ["10001:10001"]
    assert {".env", ".git", "instance/*", "data/*", "models/*"} <= set(ignored)


def test_the_unit_ends_what_it_started() -> None:
    unit = text_of("polymath.service")
    assert "KillMode=mixed" in unit
    assert "ExecStart=/opt/polymath/.venv/bin/gunicorn wsgi:app" in unit
