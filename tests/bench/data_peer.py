"""What the service is measured beside in `make bench-data`: `datasets` itself, in a process of its own.

    python -m tests.bench.data_peer FILE FOLDER PACKAGES

It loads, renders, splits and writes, and prints its seconds and its peak memory as JSON.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    file, folder = Path(sys.argv[1]), Path(sys.argv[2])
    began = time.perf_counter()
    # It stands in a folder of its own, behind what the service is installed with.
    sys.path.append(sys.argv[3])
    import datasets

    datasets.disable_progress_bars()
    kind = "csv" if file.suffix == ".csv" else "json"
    rows: Any = datasets.load_dataset(kind, data_files=str(file), split="train", cache_dir=str(folder / "cache"))
    rows = rows.map(render, remove_columns=rows.column_names)
    first = rows.train_test_split(test_size=0.2, seed=42)
    second = first["test"].train_test_split(test_size=0.5, seed=42)
    parts = {"train": first["train"], "validation": second["train"], "test": second["test"]}
    for name, part in parts.items():
        part.to_json(str(folder / f"{name}.jsonl"), force_ascii=False)
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_mib": peak_mib(), "rows": len(rows)}))


def render(row: dict[str, Any]) -> dict[str, str]:
    return {"text": f"### 指令:\n{row['instruction']}\n{row['input'] or ''}\n\n### 回答:\n{row['output']}"}


def peak_mib(pid: str = "self") -> float:
    """The most memory that a process has had resident, in MiB; 0 for one that is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
