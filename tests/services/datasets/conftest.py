"""Where data sets are kept: their database is SQLite and PostgreSQL in turn."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backend.setup import migrate
from services.assemble import Services
from services.database import open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, services: Services) -> Iterator[Services]:
    """The services over each kind of database."""
    if request.param == "sqlite":
        yield services
        return
    database = open_database(request.getfixturevalue("postgres_url"))
    migrate(database.engine)
    yield replace(services, database=database)
    database.close()
