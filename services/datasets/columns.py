"""What the columns of a data set hold, counted while its rows go by; memory does not grow with the rows."""

import sys
from collections import Counter
from typing import Any

from services.datasets import formats
from services.datasets.csv_rows import too_many_columns
from services.datasets.faults import MOST_COLUMNS

# More different values than this are no classes, and are no longer counted.
MOST_VALUES = 200
LONGEST_VALUE = 100
MOST_SHAPES = 1000
FORMULA = "=@"
KINDS = {str: "string", int: "number", float: "number", bool: "boolean", list: "array", dict: "object"}


class _Column:
    """One column: how often it is filled, with what, how long its texts are, and its values while they are few."""

    __slots__ = ("formulas", "high", "kinds", "low", "others", "texts", "total", "values")

    def __init__(self) -> None:
        self.texts = self.others = self.formulas = self.total = self.high = 0
        self.low = sys.maxsize
        self.kinds: set[type] = set()
        self.values: dict[Any, int] | None = {}

    def add_other(self, value: Any) -> None:
        """Count a value that is no text."""
        kind = type(value)
        self.others += 1
        self.kinds.add(kind)
        if kind in (list, dict):
            self.values = None
        elif self.values is not None:
            self.count(value, self.values)

    def count(self, value: Any, values: dict[Any, int]) -> None:
        """Count one of *values*, until there are too many of them to be classes."""
        values[value] = values.get(value, 0) + 1
        if len(values) > MOST_VALUES:
            self.values = None

    def told(self, name: str) -> dict[str, Any]:
        kinds = {KINDS.get(kind, "string") for kind in self.kinds} | ({"string"} if self.texts else set())
        told: dict[str, Any] = {
            "name": name,
            "type": kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "empty",
            "filled": self.texts + self.others,
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
        # Texts are counted in place: this is a third of what a reading costs.
        for name, value in row.items():
            column = columns.get(name) or self._open(name)
            if type(value) is not str:
                if value is not None:
                    column.add_other(value)
            elif value:
                length = len(value)
                column.texts += 1
                column.total += length
                if length > column.high:  # noqa: PLR1730  A call of max() costs more than the comparison.
                    column.high = length
                if length < column.low:  # noqa: PLR1730
                    column.low = length
                column.formulas += value[0] in FORMULA
                if column.values is not None:
                    _count_text(column, value, length)
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


def _count_text(column: _Column, value: str, length: int) -> None:
    assert column.values is not None
    if length > LONGEST_VALUE:
        column.values = None
    else:
        column.count(value, column.values)
