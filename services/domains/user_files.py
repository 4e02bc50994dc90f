"""Files that users keep here: what holds them, who trains with them, and how they go again."""

from pathlib import Path
from typing import TYPE_CHECKING

from services.contracts.accounts import Identity
from services.contracts.jobs import JobsQuery, JobStatus
from services.contracts.training import TrainingRequest
from services.contracts.user_files import NewFile, UserFile, UserFilesQuery
from services.datasets.keeping import DatasetKeeper
from services.datasets.store import DatasetStore
from services.errors import Conflict, Invalid
from services.fine_tunings import FineTuningStore
from services.user_files import UserFileStore

if TYPE_CHECKING:
    from services.assemble import Services

TRAIN = "training.train"
TRAINING: tuple[JobStatus, ...] = ("queued", "running")
MOST_LOOKED_AT = 100


def add(new: NewFile, *, services: "Services", owner: str) -> UserFile:
    """List a file of *owner*'s; the same job lists one file, however often it is asked for."""
    store = UserFileStore(services.database)
    if new.job_id and (there := store.of_job(new.job_id)):
        return there
    return store.add(new, owner=owner)


def list_(query: UserFilesQuery, *, services: "Services", identity: Identity) -> tuple[list[UserFile], bool]:
    """A page of files, and whether more follow; an admin sees everybody's."""
    return UserFileStore(services.database).page(query, owner=_owner(identity))


def show(file_id: str, *, services: "Services", identity: Identity) -> UserFile:
    """One file. Raises NotFound."""
    return UserFileStore(services.database).find(file_id, owner=_owner(identity))


def content(file_id: str, *, services: "Services", identity: Identity) -> tuple[UserFile, Path]:
    """A file and where its bytes lie. Raises NotFound, and Conflict for one that is being read or could not be."""
    file = show(file_id, services=services, identity=identity)
    if file.kept:
        return file, services.files.find(file.kept).path
    store = DatasetStore(services.database, services.settings)
    row = store.find(_dataset(file, field="file_id"), owner=None)
    return file, store.located(row).parts["train"]


def dataset_of(file_id: str, *, field: str, services: "Services", identity: Identity) -> str:
    """The data set that a training file became; a data set's own id is as good.

    Raises NotFound, Invalid for a file with another purpose, Conflict for one that is still being read.
    """
    if file_id.startswith("dataset-"):
        store = DatasetStore(services.database, services.settings)
        return store.find(file_id, owner=_owner(identity), field=field).id
    file = UserFileStore(services.database).find(file_id, owner=_owner(identity), field=field)
    if file.purpose != "fine-tune":
        raise Invalid(
            field,
            "The file {id} was uploaded for {purpose}; a training takes files with the purpose fine-tune.",
            "文件 {id} 的用途是 {purpose}，训练仅接受用途为 fine-tune 的文件。",
            reason="wrong_purpose",
            id=file.id,
            purpose=file.purpose,
        )
    return _dataset(file, field=field)


def forget(file_id: str, *, services: "Services") -> None:
    """List a file no longer that came to nothing; there is nothing to remove."""
    UserFileStore(services.database).forget(file_id)


def remove(file_id: str, *, services: "Services", identity: Identity) -> None:
    """Remove a file for good, with its data set. Raises NotFound, and Conflict while a training uses it."""
    file = show(file_id, services=services, identity=identity)
    if file.dataset_id and (training := _training_with(file, services)):
        raise Conflict(
            "The training {training} uses this file; cancel it, or wait for its end.",
            "训练任务 {training} 正在使用该文件，请先取消或等待其结束。",
            details={"field": "file_id", "reason": "in_use", "job": training},
            training=training,
        )
    _drop(file, services)


def prune(*, services: "Services") -> int:
    """Remove files whose time is over; how many."""
    gone = [file for file in UserFileStore(services.database).expired() if not _training_with(file, services)]
    for file in gone:
        _drop(file, services)
    return len(gone)


def _drop(file: UserFile, services: "Services") -> None:
    if file.status == "uploaded" and file.job_id:
        services.jobs.cancel(file.job_id)
    if file.dataset_id:
        row = DatasetStore(services.database, services.settings).find(file.dataset_id, owner=None)
        DatasetKeeper(services.database, services.settings).remove(row)
    if file.kept:
        services.files.forget([file.kept])
    UserFileStore(services.database).forget(file.id)


def _training_with(file: UserFile, services: "Services") -> str | None:
    """The id of a training that has not ended and was given *file*, at whichever door, for training or validation."""
    wanted = {file.dataset_id}
    for status in TRAINING:
        page = services.jobs.list_(JobsQuery(kind=TRAIN, status=status, limit=MOST_LOOKED_AT))
        for job in page.jobs:
            request, _ = services.jobs.asked(job.id)
            if isinstance(request, TrainingRequest) and wanted & {request.dataset_path, request.validation_path}:
                return job.id
    paused = FineTuningStore(services.database).paused(owner=file.owner)
    return next((row.job_id for row in paused if file.id in (row.training_file, row.validation_file)), None)


def _dataset(file: UserFile, *, field: str) -> str:
    if file.dataset_id:
        return file.dataset_id
    if file.status == "uploaded":
        raise Conflict(
            "The file {id} is still being read; try again in a moment.",
            "文件 {id} 正在读取，请稍后重试。",
            details={"field": field, "reason": "in_progress"},
            id=file.id,
        )
    raise Conflict(
        "The file {id} could not be read; remove it and upload a mended one.",
        "文件 {id} 无法读取，请删除后重新上传。",
        details={"field": field, "reason": "file_broken"},
        id=file.id,
    )


def _owner(identity: Identity) -> str | None:
    return None if identity.is_admin else identity.id
