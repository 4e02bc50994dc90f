"""What can be wrong with a row or with a whole file of rows, told in both languages."""

from dataclasses import dataclass, field
from typing import Any

from services.errors import Invalid

# A row is read whole; what orjson makes of so many brackets takes some twenty times as much memory.
LONGEST_ROW_BYTES = 8 * 2**20
MOST_COLUMNS = 2000
FIRST_FAULTS = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one row is bad: a word for programs and a sentence for people in each language."""

    reason: str
    en: str
    zh: str


# A row by the line on which it begins (in a zip: by its place), and its columns or what is wrong with it.
Record = tuple[int, dict[str, Any] | Fault]

TOO_LONG = Fault("row_too_long", "is longer than 8 MiB", "超过 8 MiB")
NOT_OBJECT = Fault("not_object", "is no object with columns", "不是包含列的对象")
NOT_TEXT = Fault("not_text", "has bytes that are no text in this encoding", "含有无法按此编码解码的字节")
HAS_NUL = Fault("nul", "holds a NUL byte", "含有 NUL 字节")


@dataclass(slots=True)
class Faults:
    """The bad rows of one reading: how many, and the first of them."""

    count: int = 0
    first: list[tuple[int, Fault]] = field(default_factory=list)

    def add(self, line: int, fault: Fault) -> None:
        """Count a bad row."""
        self.count += 1
        if len(self.first) < FIRST_FAULTS:
            self.first.append((line, fault))

    def told(self) -> dict[str, Any]:
        """What answers and cards say of them."""
        first = [{"line": line, "reason": fault.reason, "message": fault.en} for line, fault in self.first]
        return {"count": self.count, "first": first}


def refuse_faults(faults: Faults, *, field: str = "file") -> None:
    """Raise Invalid, which names the first bad lines, when there are any."""
    if not faults.count:
        return
    line, fault = faults.first[0]
    error = Invalid(
        field,
        f"{faults.count} rows are bad; the first: line {line} {fault.en}. Mend them, or send on_error=skip "
        "to keep the good ones.",
        f"共有 {faults.count} 行有误，首个错误：第 {line} 行{fault.zh}。请修正，或使用 on_error=skip 仅保留正确的行。",
        reason="bad_rows",
    )
    error.details |= {"count": faults.count, "rows": faults.told()["first"]}
    raise error


def unreadable(reason: str, en: str, zh: str, **values: Any) -> Invalid:
    """The error for a file that cannot be read at all, or not beyond some place."""
    return Invalid("file", en, zh, reason=reason, **values)
