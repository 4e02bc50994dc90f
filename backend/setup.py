"""What a start does to an installation before it serves: the newest tables, and a first admin."""

import fcntl
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Engine

from services.assemble import Services
from services.domains import accounts

MIGRATIONS = Path(__file__).parent / "migrations"

log = logging.getLogger(__name__)


def prepare(app: Flask) -> None:
    """Bring the tables up to date and make the first admin; many processes may do it at once."""
    services: Services = app.extensions["services"]
    with _one_at_a_time(services.settings.instance_dir):
        migrate(services.database.engine)
        made = accounts.ensure_admin(services=services)
    if made and made.password:
        # Shown once, on the terminal and not in the log.
        print(f"\n  First admin: {made.username}\n  Password:    {made.password}   (shown this once)\n", file=sys.stderr, flush=True)


def migrate(engine: Engine) -> bool:
    """Bring the tables of *engine* to the newest revision; whether there was anything to do."""
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest_revision():
            return False
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, "head")
    log.info("database migrated", extra={"revision": newest_revision()})
    return True


@cache
def newest_revision() -> str | None:
    """The revision that the code expects."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


@contextmanager
def _one_at_a_time(instance_dir: Path) -> Iterator[None]:
    """Processes of one installation wait for each other here; the lock goes with its holder."""
    instance_dir.mkdir(parents=True, exist_ok=True)
    with (instance_dir / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
