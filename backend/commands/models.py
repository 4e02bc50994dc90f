"""`flask models`: what there is, and bringing it here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from services.assemble import Services
from services.compute.progress import Job
from services.contracts.models import CatalogRow, PullRequest
from services.domains import models as domain
from services.errors import ServiceError

BAR_CELLS = 30
CLEAR_LINE = "\r\x1b[K"


@click.group()
def models() -> None:
    """Look after the models."""


@models.command("list")
@click.option("--all", "everything", is_flag=True, help="Cloud models too, and what came with packages.")
@with_appcontext
def list_(everything: bool) -> None:
    """Show the models, and which are installed."""
    catalog = _services().catalog
    for row in catalog.rows():
        if everything or (row.local and not row.bundled):
            click.echo(f"{row.id:<28} {_state(row):<12} {_size(row):>9}  {', '.join(row.abilities)}  ({row.licence})")


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="MODEL|starter...")
@with_appcontext
def pull(names: tuple[str, ...]) -> None:
    """Install models; `starter` is the whole starter set."""
    services = _services()
    with _told():
        for row in [row for name in names for row in domain.rows_to_pull(name, services=services)]:
            with Bar(row) as bar:
                result = domain.pull(PullRequest(model=row.id), services=services, job=bar)
                bar.words = "was installed already" if result.already_installed else f"installed, {result.size_mb} MB"


@models.command()
@click.argument("names", nargs=-1)
@with_appcontext
def verify(names: tuple[str, ...]) -> None:
    """Check the files of installed models against their checksums; without a name, of all."""
    services = _services()
    catalog = services.catalog
    pulled = [row.id for row in catalog.rows() if row.sources and catalog.installed(row)]
    with _told():
        results = [domain.verify(name, services=services) for name in names or pulled]
    for result in results:
        wrong = ", ".join(f"{name} is {problem}" for name, problem in result.problems.items())
        click.echo(f"{result.model}: {wrong or 'as it was installed'}")
    sys.exit(0 if all(result.ok for result in results) else 1)


@models.command()
@click.argument("name")
@with_appcontext
def remove(name: str) -> None:
    """Remove an installed model."""
    with _told():
        domain.remove(name, services=_services())
    click.echo(f"{name} is removed.")


class Bar(Job):
    """A progress bar on a terminal, a line at each quarter elsewhere; it ends in `words`."""

    def __init__(self, row: CatalogRow) -> None:
        self._name, self._terminal, self._quarter = row.id, sys.stderr.isatty(), 0
        self.words = "was not installed"

    def __enter__(self) -> "Bar":
        return self

    def progress(self, fraction: float, **metrics: Any) -> None:
        if self._terminal:
            filled = round(BAR_CELLS * fraction)
            bar = "█" * filled + "░" * (BAR_CELLS - filled)
            click.echo(f"\r{self._name} {bar} {fraction:4.0%} {metrics.get('stage', ''):<10}", nl=False, err=True)
        elif int(fraction * 4) > self._quarter:
            self._quarter = int(fraction * 4)
            click.echo(f"{self._name} {fraction:.0%}", err=True)

    def __exit__(self, *_error: object) -> None:
        click.echo(f"{CLEAR_LINE if self._terminal else ''}{self._name} {self.words}", err=True)


def _state(row: CatalogRow) -> str:
    if not row.local:
        return row.provider
    return "installed" if _services().catalog.installed(row) else "-"


def _size(row: CatalogRow) -> str:
    return f"{row.size_mb} MB" if row.size_mb else ""


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
