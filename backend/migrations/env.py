"""How Alembic reaches the database: with the engine that the start-up hands over, or with the app's."""

from alembic import context
from sqlalchemy import Engine, text

from services.database import Base
from services.tables import all_tables

all_tables()
engine: Engine | None = context.config.attributes.get("engine")
if engine is None:
    from backend.extensions import db

    engine = db.engine

with engine.execution_options(isolation_level="AUTOCOMMIT" if engine.dialect.name == "sqlite" else None).connect() as connection:
    # Batch mode rebuilds a table; with foreign keys on, that would delete the rows that point to it.
    if engine.dialect.name == "sqlite":
        connection.execute(text("PRAGMA foreign_keys=OFF"))
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
    if engine.dialect.name == "sqlite":
        connection.execute(text("PRAGMA foreign_keys=ON"))
    else:
        connection.commit()
