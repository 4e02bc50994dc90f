"""Services over SQLite and over PostgreSQL, for domains whose statements must hold on both."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backend.setup import migrate
from services.assemble import Services
from services.credentials import StoredCredentials
from services.database import open_database
from services.domains import accounts
from services.face_index import FaceIndexes
from services.files import Files
from services.keyuse import KeyUses


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, services: Services) -> Iterator[Services]:
    """The services, over each kind of database in turn, with the first admin in it."""
    if request.param == "sqlite":
        yield services
        return
    database = open_database(request.getfixturevalue("postgres_url"))
    migrate(database.engine)
    over = replace(
        services,
        database=database,
        key_uses=KeyUses(database),
        credentials=StoredCredentials(database),
        files=Files(services.settings, database),
        faces=FaceIndexes(database),
    )
    accounts.ensure_admin(services=over)
    yield over
    over.key_uses.close()
    database.close()
