"""What OpenAI's door knows of trainings beside the trainings themselves: their files, their labels, their pauses."""

from typing import TYPE_CHECKING

from services.contracts.fine_tuning import FineTuningRequest
from services.contracts.jobs import EventsQuery, JobEventView
from services.contracts.training_doors import TrainingState
from services.errors import Conflict, Invalid
from services.fine_tunings import FineTuningStore
from services.tables.user_files import FineTuningTable

if TYPE_CHECKING:
    from services.assemble import Services

# A trainer that is told to stop ends its step first.
STOP_SECONDS = 30.0
CHECKPOINT = "checkpoint"


def note(job_id: str, asked: FineTuningRequest, *, services: "Services", owner: str) -> None:
    """Write down in which words *job_id* was asked for; once, however often it is replayed."""
    FineTuningStore(services.database).add(
        job_id,
        owner=owner,
        training_file=asked.training_file,
        validation_file=asked.validation_file,
        hyperparameters=asked.asked.model_dump(),
        labels=asked.metadata or {},
    )


def words_of(job_id: str, *, services: "Services") -> FineTuningTable | None:
    """In which words a training was asked for; None for one of another door."""
    return FineTuningStore(services.database).find(job_id)


def labelled(
    labels: dict[str, str], *, limit: int, after: str | None, services: "Services", owner: str | None
) -> tuple[list[str], bool]:
    """A page of the jobs with *labels*, the newest first, and whether more follow. Raises Invalid for *after*."""
    ids = FineTuningStore(services.database).labelled(labels, owner=owner)
    if after is not None and after not in ids:
        raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
    rest = ids[ids.index(after) + 1 :] if after else ids
    return rest[:limit], len(rest) > limit


def stop(state: TrainingState, *, paused: bool, services: "Services") -> None:
    """Stop a training for good, or until it is resumed; a paused one can be cancelled. Raises Conflict."""
    store = FineTuningStore(services.database)
    words = store.find(state.task_id)
    rests = state.status == "canceled" and words is not None and words.paused
    if state.status in {"completed", "failed"} or (state.status == "canceled" and not rests):
        raise Conflict(
            "The training has ended already ({status}); there is nothing to stop.",
            "训练任务已结束（{status}），无需停止。",
            details={"reason": state.status},
            status=state.status,
        )
    store.set_paused(state.task_id, paused, owner=services.jobs.show(state.task_id).owner)
    services.jobs.cancel(state.task_id)


def resume(state: TrainingState, *, services: "Services") -> None:
    """Queue a paused training again; it goes on from its checkpoint. Raises Conflict for one that is not paused."""
    store = FineTuningStore(services.database)
    words = store.find(state.task_id)
    if words is None or not words.paused or not (state.stopping or state.status == "canceled"):
        raise Conflict(
            "Only a paused training can be resumed.",
            "只有已暂停的训练任务可以恢复。",
            details={"reason": "not_paused"},
        )
    # Whoever resumes at once would find the trainer in its last step.
    job = services.jobs.wait(state.task_id, STOP_SECONDS)
    if not job.ended:
        raise Conflict(
            "The training still ends its step; try again in a moment.",
            "训练任务正在结束当前步骤，请稍后重试。",
            details={"reason": "in_progress"},
        )
    if job.status == "canceled":
        services.jobs.retry(state.task_id)
    store.set_paused(state.task_id, False, owner=job.owner)


def checkpoints(job_id: str, *, services: "Services") -> list[JobEventView]:
    """What told of a checkpoint, the newest of each step, the newest step first."""
    told = services.jobs.events(job_id, EventsQuery(type="artifact"))
    of_step = {int(event.data.get("step") or 0): event for event in told if event.data.get("name") == CHECKPOINT}
    return [of_step[step] for step in sorted(of_step, reverse=True)]
