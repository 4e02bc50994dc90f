"""What the operator types after `flask`; every click group in a module here is a command."""

import importlib
import pkgutil

import click


def find() -> list[click.Group]:
    """Every command group of this package."""
    groups: dict[str, click.Group] = {}
    for module in pkgutil.iter_modules(__path__):
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, click.Group) and value.name:
                groups[value.name] = value
    return list(groups.values())
