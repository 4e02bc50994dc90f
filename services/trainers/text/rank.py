"""One process of a LoRA run on several GPUs; `launch.py` has it started once for each."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.compute.outcomes import explain, pack
from services.errors import ServiceError
from services.trainers import ranks
from services.trainers.text import launch, lora, model
from services.trainers.text.launch import RankJob


def main() -> None:
    """Train by the specification that the first argument names; the first process says how it ended."""
    specification = Path(sys.argv[1])
    mine = ranks.join()
    job = RankJob(specification.with_name(launch.STOP), first=mine.first)
    job.say(_answer(specification, job, mine))


def _answer(specification: Path, job: RankJob, mine: ranks.Ranks) -> dict[str, Any]:
    try:
        run = launch.read(specification, job)
        with model.memory_told():
            return {"answer": asdict(lora.Recipe(run, ranks=mine).train())}
    except ServiceError as error:
        return {"error": pack(error)}
    except Exception as error:  # noqa: BLE001  Its traceback is the job's log; whoever launched gets the sentence.
        sys.excepthook(type(error), error, error.__traceback__)
        return {"error": pack(explain(error))}


if __name__ == "__main__":
    main()
