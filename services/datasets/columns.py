"""What the columns of a data set hold, counted while its rows go by; memory does not grow with the rows."""

from collections import Counter
from typing import Any

from services.datasets import formats
from services.datasets.csv_rows import too_many_columns
from services.datasets.faults import MOST_COLUMNS

# More different values than this are no classes, and are no longer counted.
MOST_VALUES = 200
LONGEST_VALUE = 100
MOST_SHAPES = 1000
FORMULA = ("=", "@")
KINDS = {str: "string", int: "number", float: "number", bool: "boolean", list: "array", dict: "object"}


class _Column:
    """One column: how often it is filled, with what, how long its texts are, and its values while they are few."""

    __slots__ = ("filled", "formulas", "high", "kinds", "low", "texts", "total", "values")

    def __init__(self) -> None:
        self.filled = self.formulas = self.texts = self.total = self.high = 0
        self.low: int | None = None
        self.kinds: set[type] = set()
        self.values: dict[Any, int] | None = {}

    def add(self, value: Any) -> None:
        kind = type(value)
        if value is None or value == "":
            return
        self.filled += 1
        self.kinds.add(kind)
        if kind is str:
            self._add_text(value)
        values = self.values
        if values is not None:
            self._count(values, value, kind)

    def _add_text(self, value: str) -> None:
        length = len(value)
        self.texts += 1
        self.total += length
        self.high = max(self.high, length)
        if self.low is None or length < self.low:
            self.low = length
        if value[0] in FORMULA:
            self.formulas += 1

    def _count(self, values: dict[Any, int], value: Any, kind: type) -> None:
        """Count a value, until there are too many of them to be classes."""
        if kind in (list, dict) or (kind is str and len(value) > LONGEST_VALUE):
            self.values = None
            return
        values[value] = values.get(value, 0) + 1
        if len(values) > MOST_VALUES:
            self.values = None

    def told(self, name: str) -> dict[str, Any]:
        kinds = {KINDS.get(kind, "string") for kind in self.kinds}
        told: dict[str, Any] = {
            "name": name,
            "type": kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "empty",
            "filled": self.filled,
        }
        if self.texts:
            mean = round(self.total / self.texts, 1)
            told["length"] = {"min": self.low, "mean": mean, "max": self.high}
        if self.values and any(count > 1 for count in self.values.values()):
            most = sorted(self.values.items(), key=lambda item: (-item[1], str(item[0])))
            told["values"] = [{"value": value, "count": count} for value, count in most]
        return told


class Columns:
    """The columns of the rows that were added."""

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[str, _Column] = {}
        self._shapes: Counter[tuple[str, ...]] = Counter()

    def add(self, row: dict[str, Any]) -> None:
        """Count a row. Raises Invalid when the rows have too many columns between them."""
        self.rows += 1
        columns = self._columns
        for name, value in row.items():
            column = columns.get(name)
            if column is None:
                column = self._open(name)
            column.add(value)
        shape = tuple(row)
        if shape in self._shapes or len(self._shapes) < MOST_SHAPES:
            self._shapes[shape] += 1

    def _open(self, name: str) -> _Column:
        if len(self._columns) >= MOST_COLUMNS:
            raise too_many_columns(MOST_COLUMNS + 1)
        self._columns[name] = column = _Column()
        return column

    @property
    def names(self) -> list[str]:
        """The columns in the order in which they came."""
        return list(self._columns)

    @property
    def formulas(self) -> int:
        """How many cells a spreadsheet would take for formulas."""
        return sum(column.formulas for column in self._columns.values())

    @property
    def format(self) -> formats.Format:
        """The format of most rows."""
        return formats.of_rows(self._shapes)

    def told(self) -> list[dict[str, Any]]:
        """What the statistics say of each column."""
        return [column.told(name) for name, column in self._columns.items()]
