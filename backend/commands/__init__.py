"""What the operator types after `flask`: every click group in a module here, and what its `COMMANDS` lists."""

import importlib
import pkgutil

import click


def find() -> list[click.Command]:
    """Every command and group of commands of this package."""
    found: dict[str, click.Command] = {}
    for module in pkgutil.iter_modules(__path__):
        names = vars(importlib.import_module(f"{__name__}.{module.name}"))
        groups = [value for value in names.values() if isinstance(value, click.Group)]
        found |= {command.name: command for command in [*groups, *names.get("COMMANDS", [])] if command.name}
    return list(found.values())
