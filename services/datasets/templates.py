"""Prompt templates: a format string over a row's columns, plain names only.

Python's own `str.format` would follow attributes and items of what it is given; here a name is looked up in
the row and nothing more is done with it.
"""

from collections.abc import Callable, Collection
from string import Formatter
from typing import Any

import orjson

from services.datasets.faults import Fault
from services.errors import Invalid

LONGEST_TEMPLATE = 20_000


def columns_of(template: str) -> list[str]:
    """The names in *template*, each once, in their order. Raises Invalid for what is no plain name."""
    return list(dict.fromkeys(name for _, name in _parts(template) if name is not None))


def check(template: str, columns: Collection[str]) -> None:
    """Raise Invalid, which names the column, when *template* asks for one that is not among *columns*."""
    for name in columns_of(template):
        if name not in columns:
            raise _missing(name, columns)


def compile_(template: str) -> Callable[[dict[str, Any]], str | Fault]:
    """What renders a row by *template*, or says which column the row lacks. Raises Invalid."""
    parts = _parts(template)

    def render(row: dict[str, Any]) -> str | Fault:
        pieces = []
        for literal, name in parts:
            pieces.append(literal)
            if name is not None:
                if name not in row:
                    return Fault("missing_column", f"has no column {name[:80]!r}", f"缺少列 {name[:80]!r}")
                value = row[name]
                pieces.append(value if type(value) is str else _text(value))
        return "".join(pieces)

    return render


def _parts(template: str) -> list[tuple[str, str | None]]:
    """The template in pieces: text, and the name that follows it."""
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise _wrong(
            "a brace is open or stands alone; write {{ for a brace", "花括号不配对，如需花括号请写 {{"
        ) from error
    for _, name, specification, conversion in parsed:
        if name is not None and (specification or conversion or not _is_plain(name)):
            raise _wrong(f"{{{name[:80]}}} is no plain column name", f"{{{name[:80]}}} 不是列名", reason="not_plain")
    if all(name is None for _, name, _, _ in parsed):
        raise _wrong("it names no column", "其中没有列名", reason="no_column")
    return [(literal, name) for literal, name, _, _ in parsed]


def _is_plain(name: str) -> bool:
    return bool(name.strip()) and not set(name) & set(".[]{}()'\"") and not name.startswith("__")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return orjson.dumps(value).decode() if isinstance(value, (dict, list, bool)) else str(value)


def _missing(name: str, columns: Collection[str]) -> Invalid:
    some = ", ".join(list(columns)[:20])
    error = Invalid(
        "template",
        "The template names the column {name}, which the data set does not have; it has: {some}.",
        "模板引用了列 {name}，数据集中没有该列；现有列：{some}。",
        reason="missing_column",
        name=repr(name[:80]),
        some=some,
    )
    error.details["column"] = name
    return error


def _wrong(en: str, zh: str, *, reason: str = "template_invalid") -> Invalid:
    return Invalid("template", f"The template is wrong: {en}.", f"模板有误：{zh}。", reason=reason)
