"""`flask settings`: every setting with its default, as `.env.example` shows them."""

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from services.settings import ROOT, Settings

HEADING = re.compile(r"\n\n    # (?P<heading>.+)\n(?=    [a-z_]+:)|^    (?P<field>[a-z_]+):", re.MULTILINE)
PREFACE = """\
# Settings of Polymath: copy this file to .env and take away the # of those that you change.
# What is commented out here is the default. The environment wins over .env.
# This file is made from services/settings.py by `make docs`.
"""


@click.group("settings")
def group() -> None:
    """Show the settings of the service."""


@group.command("example")
def print_example() -> None:
    """Print every setting with its default and what it does."""
    click.echo(example(), nl=False)


def example() -> str:
    """The text of `.env.example`: each setting with its sentence and default, under the headings of the class."""
    lines, told = [PREFACE], descriptions()
    for heading, name in outline():
        if heading:
            lines.append(f"\n# ---- {heading} ----\n")
        else:
            field = Settings.model_fields[name]
            lines.append(f"\n# {told[name]}\n#{environment_name(name, field)}={show(field.default)}\n")
    return "".join(lines)


def descriptions() -> dict[str, str]:
    """What stands below each field of the class."""
    (settings,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(settings, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(settings.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def outline() -> list[tuple[str, str]]:
    """Headings and names of fields, in the order of the class; one of each pair is empty."""
    found = [(match["heading"] or "", match["field"] or "") for match in HEADING.finditer(inspect.getsource(Settings))]
    return [(heading, name) for heading, name in found if heading or name in Settings.model_fields]


def environment_name(name: str, field: FieldInfo) -> str:
    """The environment variable that sets *field*; of several, the one shown."""
    names = getattr(field.validation_alias, "choices", None) or [field.validation_alias or name]
    return str(names[0]).upper()


def show(default: Any) -> str:
    """A default as it is written in `.env`; folders are shown from the project's own."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Path) and default.is_relative_to(ROOT):
        return f"./{default.relative_to(ROOT).as_posix()}"
    return str(default)
