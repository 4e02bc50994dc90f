"""What tests of services share."""

from collections.abc import Iterator

import pytest

from backend.setup import migrate
from services.database import Database, open_database
from services.settings import Settings


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    """A database with our tables, of each kind."""
    url = settings.sqlalchemy_url if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_database(url)
    migrate(opened.engine)
    yield opened
    opened.close()
