"""All rows of a database as lines of JSON, and back: the same on SQLite and PostgreSQL, so that one becomes the other.

A line is `{"table": name, "columns": [...]}` or a row, the list of its values in that order. What JSON has no word
for stands as `{"$time": "…"}` and `{"$bytes": "<base64>"}`; what is JSON in the database as `{"$json": …}`.
"""

import base64
import datetime
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Integer, MetaData, Table, func, select, text

from services.errors import Invalid

REVISION_TABLE = "alembic_version"
ROWS_A_WRITE = 500
NEWLINE = orjson.OPT_APPEND_NEWLINE


def lines(engine: Engine) -> Iterator[bytes]:
    """Every row of every table as it was at one moment, tables that others point to first."""
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**options) as connection:
        for table in tables_of(connection):
            yield orjson.dumps({"table": table.name, "columns": table.columns.keys()}, None, NEWLINE)
            result = connection.execution_options(yield_per=ROWS_A_WRITE).execute(select(table))
            for row in result:
                yield orjson.dumps([_pack(value) for value in row], None, NEWLINE)


def load(connection: Connection, packed: Iterable[bytes]) -> dict[str, int]:
    """Write what `lines` gave into the empty tables that are there; how many rows of each table.

    Raises Invalid for a table or column that is not there.
    """
    known = {table.name: table for table in tables_of(connection)}
    counts: dict[str, int] = {}
    for table, rows in _by_table(packed, known):
        counts[table.name] = counts.get(table.name, 0) + len(rows)
        connection.execute(table.insert(), rows)
    _set_sequences(connection, known.values())
    return counts


def clear(connection: Connection) -> None:
    """Drop every table."""
    metadata = MetaData()
    metadata.reflect(connection)
    metadata.drop_all(connection)


def tables_of(connection: Connection) -> list[Table]:
    """The tables that are there but for the migrations' own, those that others point to first."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != REVISION_TABLE]


def _by_table(packed: Iterable[bytes], known: dict[str, Table]) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Rows in portions, each with its table."""
    table, columns, rows = None, list[str](), list[dict[str, Any]]()
    for line in packed:
        told = orjson.loads(line)
        if isinstance(told, dict):
            if table is not None and rows:
                yield table, rows
            table, columns, rows = _find(told, known), told["columns"], []
            continue
        rows.append(dict(zip(columns, map(_unpack, told), strict=True)))
        if table is not None and len(rows) >= ROWS_A_WRITE:
            yield table, rows
            rows = []
    if table is not None and rows:
        yield table, rows


def _find(told: dict[str, Any], known: dict[str, Table]) -> Table:
    table = known.get(told["table"])
    if table is None or not set(told["columns"]) <= set(table.columns.keys()):
        raise Invalid(
            "backup",
            "The backup has a table or column that is not here: {name}. Restore it with the version that made it.",
            "备份中的表或列在此版本中不存在：{name}。请使用生成该备份的版本进行恢复。",
            reason="unknown_table",
            name=told["table"],
        )
    return table


def _set_sequences(connection: Connection, tables: Iterable[Table]) -> None:
    """Let PostgreSQL count on after the highest number that was written; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        for column in table.primary_key.columns:
            if not isinstance(column.type, Integer):
                continue
            asked = {"table": table.name, "column": column.name}
            sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), asked)
            highest = connection.scalar(select(func.max(column)))
            if sequence and highest is not None:
                reached = {"sequence": sequence, "highest": highest}
                connection.execute(text("SELECT setval(:sequence, :highest)"), reached)


def _pack(value: Any) -> Any:
    if isinstance(value, dict | list):
        return {"$json": value}
    if isinstance(value, datetime.datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, bytes | memoryview):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    return value


def _unpack(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "$time" in value:
        return datetime.datetime.fromisoformat(value["$time"])
    return value["$json"] if "$json" in value else base64.b64decode(value["$bytes"])
