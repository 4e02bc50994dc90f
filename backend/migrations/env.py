"""How Alembic reaches the database: with the engine that `backend/setup.py` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Engine, TypeDecorator

from services.database import Base
from services.tables import all_tables


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A migration names the database's type and not our class, which may change or go."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


all_tables()
engine: Engine = context.config.attributes["engine"]

with engine.execution_options(write=True).connect() as connection:
    # Batch mode rebuilds a table; with foreign keys on, that would delete the rows that point to it. SQLite
    # hears this only outside of a transaction, so it goes to the driver before one begins.
    driver: Any = connection.connection.dbapi_connection
    if engine.dialect.name == "sqlite":
        driver.execute("PRAGMA foreign_keys=OFF")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        render_item=render_item,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
    if engine.dialect.name == "sqlite":
        driver.execute("PRAGMA foreign_keys=ON")
