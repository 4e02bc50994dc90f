"""What a start does to an installation before it serves: the newest tables, a first admin, no halves of files."""

import fcntl
import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, inspect, text

from blueprints.kit.uploads import sweep_uploads
from services.assemble import Services
from services.datasets.keeping import DatasetKeeper
from services.domains import accounts
from services.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"

log = logging.getLogger(__name__)


def prepare(services: Services) -> None:
    """Bring the tables up to date and make the first admin; many processes may do it at once."""
    with _one_at_a_time(services.settings.instance_dir):
        migrate(services.database.engine)
        made = accounts.ensure_admin(services=services)
        sweep_uploads(services.settings)
        services.files.sweep()
        DatasetKeeper(services.database, services.settings).sweep()
    if made and made.password:
        introduce(services.settings, made.username, made.password)


def introduce(settings: Settings, username: str, password: str) -> None:
    """Show the first admin's password, once and on the terminal alone, with a line that streams a chat."""
    url = f"http://{settings.host}:{settings.port}"
    as_json = "-H 'Content-Type: application/json'"
    credentials = orjson.dumps({"username": username, "password": password}).decode()
    question = '{"messages":[{"role":"user","content":"Name the largest ocean on Earth."}]}'
    login = f"curl -s {url}/api/v1/login {as_json} -d {shlex.quote(credentials)}"
    token = rf"""$({login} | sed 's/.*"token":"\([^"]*\)".*/\1/')"""
    print(
        f"\n  First admin  {username}\n  Password     {password}   (shown this once)\n\n  Stream a chat:\n\n"
        f"  curl -N {url}/api/chat/stream -H \"Authorization: Bearer {token}\" {as_json} -d '{question}'\n",
        file=sys.stderr,
        flush=True,
    )


def welcome(settings: Settings, address: tuple[str, int], workers: int) -> None:
    """Say where the service listens, and what limits and openness mean here."""
    host, port = address[0], address[1]
    print(
        f"\n  Polymath listens on http://{host}:{port}   (the API: http://{host}:{port}/docs)\n",
        file=sys.stderr,
        flush=True,
    )
    if workers > 1 and not settings.redis_url:
        log.warning("rate limits count per worker: set REDIS_URL to count once for all workers")
    if settings.auth == "open" and host not in {"127.0.0.1", "::1"}:
        log.warning("AUTH=open on an address that others reach: everybody there may use this service")


def migrate(engine: Engine) -> bool:
    """Bring the tables of *engine* to the newest revision; whether there was anything to do."""
    newest = newest_revision()
    if _present_revision(engine) == newest:
        return False
    # Alembic takes a third of a second to import, which only a start that has work for it pays.
    from alembic import command

    command.upgrade(alembic_config(engine), "head")
    log.info("database migrated", extra={"revision": newest})
    return True


def alembic_config(engine: Engine) -> Any:
    """Alembic's settings for the tables of *engine*."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    return config


def newest_revision() -> str:
    """The revision that the code expects: migrations are numbered, and named `<revision>_<what>.py`."""
    return max(path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _present_revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.scalar(text("SELECT version_num FROM alembic_version"))


@contextmanager
def _one_at_a_time(instance_dir: Path) -> Iterator[None]:
    """Processes of one installation wait for each other here; the lock goes with its holder."""
    instance_dir.mkdir(parents=True, exist_ok=True)
    with (instance_dir / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
