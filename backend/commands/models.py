"""`flask models`: what there is, and bringing it here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from services.assemble import Services
from services.catalog import LOCAL
from services.compute.progress import Job
from services.contracts.models import CatalogRow, PullRequest
from services.domains import models as domain
from services.errors import ServiceError

BAR_CELLS = 30


@click.group()
def models() -> None:
    """Look after the models."""


@models.command("list")
@click.option("--all", "all_", is_flag=True, help="Cloud models too.")
@with_appcontext
def list_(all_: bool) -> None:
    """Show the models, and which are installed."""
    catalog = _services().catalog
    for row in catalog.rows():
        if row.provider == LOCAL or all_:
            state = row.provider if row.provider != LOCAL else "installed" if catalog.installed(row) else "-"
            size = f"{row.size_mb} MB" if row.size_mb else ""
            click.echo(f"{row.id:<26} {state:<10} {size:>8}  {', '.join(row.abilities)}  ({row.licence})")


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="MODEL|starter...")
@with_appcontext
def pull(names: tuple[str, ...]) -> None:
    """Install models; `starter` is the whole starter set."""
    services = _services()
    with _told():
        for row in [row for name in names for row in domain.rows_to_pull(name, services=services)]:
            bar = Bar(row)
            result = domain.pull(PullRequest(model=row.id), services=services, job=bar)
            bar.end("was installed already" if result.already_installed else f"installed, {result.size_mb} MB")


@models.command()
@click.argument("names", nargs=-1)
@with_appcontext
def verify(names: tuple[str, ...]) -> None:
    """Check the files of installed models against their checksums."""
    services, broken = _services(), False
    catalog = services.catalog
    for name in names or [row.id for row in catalog.rows() if row.provider == LOCAL and catalog.installed(row)]:
        with _told():
            wrong = domain.verify(name, services=services)
        broken = broken or bool(wrong)
        click.echo(f"{name}: {'missing or changed: ' + ', '.join(wrong) if wrong else 'as it was installed'}")
    sys.exit(1 if broken else 0)


@models.command()
@click.argument("name")
@with_appcontext
def remove(name: str) -> None:
    """Remove an installed model."""
    with _told():
        domain.remove(name, services=_services())
    click.echo(f"{name} is removed.")


class Bar(Job):
    """A progress bar on a terminal, a line at each quarter elsewhere."""

    def __init__(self, row: CatalogRow) -> None:
        self._name, self._terminal, self._quarter = row.id, sys.stderr.isatty(), 0

    def progress(self, fraction: float, **metrics: Any) -> None:
        if self._terminal:
            filled = round(BAR_CELLS * fraction)
            bar = "█" * filled + "░" * (BAR_CELLS - filled)
            click.echo(f"\r{self._name} {bar} {fraction:4.0%} {metrics.get('stage', ''):<10}", nl=False, err=True)
        elif int(fraction * 4) > self._quarter:
            self._quarter = int(fraction * 4)
            click.echo(f"{self._name} {fraction:.0%}", err=True)

    def end(self, words: str) -> None:
        click.echo(f"{chr(13) + chr(27) + '[K' if self._terminal else ''}{self._name} {words}", err=True)


@contextmanager
def _told() -> Iterator[None]:
    """One sentence and exit code 1 for an error of ours."""
    try:
        yield
    except ServiceError as error:
        raise click.ClickException(str(error)) from error


def _services() -> Services:
    services: Services = current_app.extensions["services"]
    return services
