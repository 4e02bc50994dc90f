"""`flask backup` and `flask restore`: the whole installation in one file, and back."""

import sys
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from backend import backup as archive
from services.errors import ServiceError


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_appcontext
def backup(file: Path) -> None:
    """Write the database, the files and what was trained to FILE; the service may run meanwhile."""
    if file.exists():
        raise click.UsageError(f"{file} is there already.")
    card = archive.write(current_app.extensions["services"], file)
    click.echo(f"Version {card['version']} is kept in {file} ({file.stat().st_size / 2**20:.1f} MB).")
    click.echo("It holds passwords' hashes, keys and private files: keep it where others cannot read it.", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Remove what is here already.")
@with_appcontext
def restore(file: Path, replace: bool) -> None:
    """Put what FILE keeps in place; stop the service before."""
    try:
        card, missing = archive.restore(current_app.extensions["services"], file, replace=replace)
    except ServiceError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(f"Restored what version {card['version']} kept at {card['created_at']}.")
    if missing:
        click.echo(f"Models to pull again: flask models pull {' '.join(missing)}")


COMMANDS = [backup, restore]
