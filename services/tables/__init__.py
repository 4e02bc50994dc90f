"""Database classes, one file a family, found by walking this package."""

import importlib
import pkgutil

from sqlalchemy import Table

from services.database import Base


def all_tables() -> list[Table]:
    """Every table of the house, loaded."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"services.tables.{module.name}")
    return list(Base.metadata.sorted_tables)
