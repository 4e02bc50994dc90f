"""One reading of a file from end to end: what it is, what its columns hold, and which rows are bad."""

from pathlib import Path

from services.compute.progress import SILENT, Job
from services.contracts.datasets import OnError, Scan
from services.datasets.columns import Columns
from services.datasets.faults import Fault, Faults, refuse_faults, unreadable
from services.datasets.reading import Limits, Source

ROWS_A_LOOK = 2000


def scan(path: Path, limits: Limits, *, on_error: OnError, job: Job = SILENT) -> Scan:
    """What the file at *path* holds. Raises Invalid when it cannot be read, has no rows, or has bad ones to fail by."""
    source = Source(path, limits)
    columns, faults = Columns(), Faults()
    for number, (line, row) in enumerate(source.rows()):
        if isinstance(row, Fault):
            faults.add(line, row)
        else:
            columns.add(row)
        if number % ROWS_A_LOOK == 0:
            job.progress(source.fraction * 0.99, rows=columns.rows)
    if on_error == "fail":
        refuse_faults(faults)
    if not columns.rows:
        raise _nothing(faults)
    return Scan(
        kind=source.nature.kind,
        encoding=source.nature.encoding,
        format=columns.format,
        rows=columns.rows,
        columns=columns.told(),
        bad_rows=faults.told(),
        formulas=columns.formulas,
    )


def _nothing(faults: Faults) -> Exception:
    if not faults.count:
        return unreadable("no_rows", "The file has no rows.", "文件中没有数据行。")
    line, fault = faults.first[0]
    return unreadable(
        "no_rows",
        f"No row of the file is good; the first: line {line} {fault.en}.",
        f"文件中没有有效的行；首个错误：第 {line} 行{fault.zh}。",
    )
