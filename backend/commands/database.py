"""`flask db`: the tables and their migrations."""

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import Engine

from backend.setup import alembic_config, migrate, newest_revision


@click.group("db")
def database() -> None:
    """Look after the tables."""


@database.command()
@with_appcontext
def upgrade() -> None:
    """Bring the tables to the newest revision; every start of the service does it too."""
    changed = migrate(_engine())
    click.echo(f"The tables are at revision {newest_revision()}{'' if changed else ' already'}.")


@database.command()
@click.argument("message")
@with_appcontext
def revise(message: str) -> None:
    """Write a migration from what the tables are to what the classes say."""
    from alembic import command

    number = f"{int(newest_revision()) + 1:04d}"
    command.revision(alembic_config(_engine()), message, autogenerate=True, rev_id=number)


@database.command()
@with_appcontext
def check() -> None:
    """Fail when the classes say something that no migration makes."""
    from alembic import command

    command.check(alembic_config(_engine()))


def _engine() -> Engine:
    engine: Engine = current_app.extensions["services"].database.engine
    return engine
