"""`flask documents`: what README and `.env.example` say of the code, made from the code."""

import inspect
import re

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from backend import postman
from backend.commands.settings import example
from backend.document import build, readable
from services.settings import ROOT

TABLE = re.compile(r"(?<=<!-- routes -->\n).*?(?=<!-- /routes -->)", re.DOTALL)
ROW = re.compile(r"^\| ([A-Z]+) \| `(.+?)` \| (.*) \|$", re.MULTILINE)
HEADS = {"README.md": ("method", "path", "what"), "README.zh-CN.md": ("方法", "路径", "作用")}

Route = tuple[str, str]


@click.group("documents")
def group() -> None:
    """Keep the documents true to the code."""


@group.command("routes")
@with_appcontext
def print_routes() -> None:
    """Print the route table of README.md."""
    click.echo(table(HEADS["README.md"], routes(current_app)), nl=False)


@group.command("write")
@with_appcontext
def write() -> None:
    """Write `.env.example`, the route tables of both READMEs and the Postman collection anew."""
    (ROOT / ".env.example").write_text(example(), encoding="utf-8")
    postman.write(build(current_app), ROOT / "docs")
    for name, heads in HEADS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        # A translation says what a route does in its own words; a new route starts with the English ones.
        words = {} if name == "README.md" else rows(text)
        told = {route: words.get(route, what) for route, what in routes(current_app).items()}
        before, after = TABLE.split(text)
        (ROOT / name).write_text(before + table(heads, told) + after, encoding="utf-8")


def routes(app: Flask) -> dict[Route, str]:
    """Every method and path of *app*, by path, with the first line of its view's docstring."""
    found = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        what = (inspect.getdoc(app.view_functions[rule.endpoint]) or "").partition("\n")[0]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            found[method, readable(rule.rule)] = what.replace("|", "\\|")
    return found


def table(heads: tuple[str, ...], told: dict[Route, str]) -> str:
    """*told* as a Markdown table under *heads*."""
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|"]
    lines += [f"| {method} | `{path}` | {what} |" for (method, path), what in told.items()]
    return "\n".join(lines) + "\n"


def rows(text: str) -> dict[Route, str]:
    """The route table that stands in *text*, read back."""
    found = TABLE.search(text)
    return {(method, path): what for method, path, what in ROW.findall(found[0] if found else "")}
