"""What users configured, as those who call a provider need it: whose address, which key, which model."""

from dataclasses import dataclass, field

from sqlalchemy import bindparam, select

from services.database import Database
from services.encryption import decrypt
from services.lookups import Lookup
from services.settings import Settings
from services.tables.configurations import ConfigurationTable


@dataclass(frozen=True, slots=True)
class Credentials:
    """A provider as one user configured it. Without `base_url` the call goes to the operator's address."""

    id: str
    name: str
    vendor: str
    model: str
    base_url: str
    is_active: bool
    sealed_key: str = field(repr=False)

    def key(self, settings: Settings) -> str:
        """The key in the clear; empty where none is stored. Raises Unreadable after a change of `SECRET_KEY`."""
        return decrypt(self.sealed_key, settings)


# Asked at each call of a provider: built once, columns alone. The active ones come first, then the newest.
_OF_OWNER = (
    select(
        ConfigurationTable.id,
        ConfigurationTable.name,
        ConfigurationTable.vendor,
        ConfigurationTable.model,
        ConfigurationTable.base_url,
        ConfigurationTable.is_active,
        ConfigurationTable.api_key,
    )
    .where(ConfigurationTable.owner == bindparam("owner"))
    .order_by(ConfigurationTable.is_active.desc(), ConfigurationTable.created_at.desc())
)


# Most users configured nothing, and each of their calls asks.
_ANY = Lookup(select(ConfigurationTable.id).where(ConfigurationTable.owner == bindparam("owner")))


class StoredCredentials:
    """The configurations of each user, read anew at each call: every process hears of a change at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, owner: str) -> list[Credentials]:
        """Those of *owner*: the active ones first, then the newest."""
        if _ANY.first(self._database, {"owner": owner}) is None:
            return []
        with self._database.engine.connect() as connection:
            return [Credentials(*row) for row in connection.execute(_OF_OWNER, {"owner": owner})]
