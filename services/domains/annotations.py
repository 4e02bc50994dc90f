"""Annotations: a vision model describes pictures side by side, people review, and training data comes of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from services.annotations import endpoints, formats, output, work
from services.annotations.store import AnnotationStore, shown_row
from services.annotations.uploads import Arrival, Uploads, not_uploaded
from services.compute.progress import SILENT, Job
from services.compute.registry import Lane, function
from services.contracts.accounts import Identity
from services.contracts.annotations import (
    AnnotationDatasetJob,
    AnnotationDatasetRequest,
    AnnotationDone,
    AnnotationRequest,
    AnnotationResult,
    AnnotationRow,
    AnnotationRows,
    AnnotationRowsQuery,
    AnnotationsPage,
    AnnotationsQuery,
    AnnotationView,
    OutputFile,
    OutputFiles,
    OutputsQuery,
    ReviewRequest,
    UploadedPicture,
)
from services.contracts.datasets import DatasetView
from services.datasets import making
from services.errors import Cancelled, Conflict, Invalid, NotFound
from services.files import KeptFile
from services.paging import read_page
from services.tables.annotations import AnnotationRowTable, AnnotationTable
from services.tables.files import FileTable

if TYPE_CHECKING:
    from services.assemble import Services

ACCEPTED = AnnotationRowTable.review == "accepted"


def lane(request: AnnotationRequest, *, services: "Services", owner: str) -> Lane:
    """Where a job for *request* waits its turn. Raises Malformed for an address that is refused, NotFound, Invalid."""
    endpoint = endpoints.find(request, services.settings)
    if not endpoint.demo:
        endpoints.open_chat(endpoint, services.outbound)
        if not endpoint.trusted:
            services.outbound.guard.check_url(endpoint.url, field="api_endpoint")
    if not _uploads(services).named(request.file_names, owner=owner):
        raise not_uploaded(request.file_names[0])
    return "cpu" if endpoint.demo else "io"


@function(lane="io", lane_of=lane, resumable=True)
def generate(request: AnnotationRequest, *, services: "Services", job: Job = SILENT) -> AnnotationDone:
    """Each picture of *request* described, as far as that could be done; what is done is kept as it is done.

    A job that is cancelled keeps its rows and writes them; one that goes on describes what is left.
    """
    endpoint = endpoints.find(request, services.settings)
    annotation = work.begin(request, endpoint, services, job)
    try:
        work.describe_all(annotation, request, endpoint, services, job)
    except Cancelled as error:
        if error.reason == "cancelled":
            output.write(annotation, services=services, job_id=job.id)
        raise
    output.write(annotation, services=services, job_id=job.id)
    return _done(annotation.id, services)


def _done(annotation_id: str, services: "Services") -> AnnotationDone:
    store = AnnotationStore(services.database)
    annotation = store.find(annotation_id, owner=None)
    results = [
        AnnotationResult(
            file_name=row.asked_name,
            description=row.description if row.status == "completed" else None,
            error=row.error,
        )
        for row in store.rows(annotation_id)
    ]
    succeeded = sum(result.error is None for result in results)
    return AnnotationDone(
        id=annotation.id,
        total=annotation.total,
        succeeded=succeeded,
        failed=annotation.total - succeeded,
        output_file=annotation.output_file,
        demo=annotation.demo,
        usage=store.usage(annotation),
        results=results,
    )


def upload(arrivals: list[Arrival], *, services: "Services", identity: Identity) -> list[UploadedPicture]:
    """Keep pictures to be described, in their order. Raises TooLarge over the quota, Unavailable."""
    return _uploads(services).keep(arrivals, owner=identity.id)


def remove_upload(name: str, *, services: "Services", identity: Identity) -> None:
    """Remove an upload. Raises NotFound."""
    _uploads(services).remove(name, owner=_owner(identity))


def find_upload(name: str, *, services: "Services", identity: Identity) -> tuple[Path, str]:
    """Where an upload lies, and its media type. Raises NotFound."""
    return _uploads(services).find(name, owner=_owner(identity))


def list_(query: AnnotationsQuery, *, services: "Services", identity: Identity) -> AnnotationsPage:
    """A page of annotations, the oldest first."""
    owner = _owner(identity)
    mine = [AnnotationTable.owner == owner] if owner is not None else []
    with services.database.read() as session:
        page = read_page(session, AnnotationTable, *mine, query=query)
    store = AnnotationStore(services.database)
    return AnnotationsPage(annotations=[store.view(row) for row in page.rows], count=page.count, next=page.next)


def show(annotation_id: str, *, services: "Services", identity: Identity) -> AnnotationView:
    """One annotation. Raises NotFound."""
    store = AnnotationStore(services.database)
    return store.view(store.find(annotation_id, owner=_owner(identity)))


def rows(annotation_id: str, query: AnnotationRowsQuery, *, services: "Services", identity: Identity) -> AnnotationRows:
    """A page of the rows of an annotation. Raises NotFound."""
    store = AnnotationStore(services.database)
    return store.page(store.find(annotation_id, owner=_owner(identity)), query)


def show_row(annotation_id: str, number: int, *, services: "Services", identity: Identity) -> AnnotationRow:
    """One row of an annotation. Raises NotFound."""
    store = AnnotationStore(services.database)
    annotation = store.find(annotation_id, owner=_owner(identity))
    return shown_row(store.row(annotation.id, number), annotation)


def review(
    annotation_id: str, number: int, wanted: ReviewRequest, *, services: "Services", identity: Identity
) -> AnnotationRow:
    """A row as a person changed it. Raises NotFound, Invalid, and Conflict for one that has no text to accept."""
    store = AnnotationStore(services.database)
    annotation = store.find(annotation_id, owner=_owner(identity))
    return shown_row(store.review(store.row(annotation.id, number), wanted), annotation)


def prepare_dataset(
    annotation_id: str, wanted: AnnotationDatasetRequest, *, services: "Services", identity: Identity
) -> AnnotationDatasetJob:
    """What `make_dataset` is asked for. Raises NotFound, and Conflict when no row is accepted."""
    store = AnnotationStore(services.database)
    annotation = store.find(annotation_id, owner=_owner(identity))
    if next(store.rows(annotation.id, ACCEPTED), None) is None:
        raise Conflict(
            "No row of this annotation is accepted; accept some first.",
            "该标注任务没有已接受的行，请先接受部分行。",
            details={"reason": "nothing_accepted"},
        )
    return AnnotationDatasetJob(annotation_id=annotation.id, **wanted.model_dump())


@function(lane="io", attempts=2)
def make_dataset(request: AnnotationDatasetJob, *, services: "Services", job: Job = SILENT) -> DatasetView:
    """A data set of the accepted rows, its annotation's owner's. Raises Conflict when a picture is gone."""
    store = AnnotationStore(services.database)
    annotation = store.find(request.annotation_id, owner=None)
    kept = {row.file_name for row in store.rows(annotation.id, ACCEPTED)}
    return making.from_rows(
        output.accepted(annotation, request.format or store.view(annotation).format, services=services),
        name=request.name,
        description=request.description,
        services=services,
        owner=annotation.owner,
        pictures=_pictures(kept, services) if request.images else None,
        job_id=job.id,
    )


def _pictures(names: set[str], services: "Services") -> dict[str, Path]:
    try:
        return {f"{formats.FOLDER}/{name}": services.files.find(name).path for name in sorted(names)}
    except NotFound as error:
        raise Conflict(
            "A picture of an accepted row was removed; ask for the data set with 'images': false.",
            "已接受行的图片已被删除，请使用 'images': false 生成数据集。",
            details={"reason": "picture_gone"},
        ) from error


def outputs(query: OutputsQuery, *, services: "Services", identity: Identity) -> OutputFiles:
    """What annotations wrote, the oldest first. Raises Invalid when `after` names none of it."""
    owner, files, made = _owner(identity), FileTable, AnnotationTable
    statement = select(files.name, files.size_bytes, made.output_rows, files.created_at)
    statement = statement.join(made, made.output_file == files.name).order_by(files.created_at, files.name)
    if owner is not None:
        statement = statement.where(made.owner == owner)
    with services.database.read() as session:
        found = [
            OutputFile(name=name, size=size, rows=count, created_at=at)
            for name, size, count, at in session.execute(statement)
        ]
    if query.after is not None:
        place = next((place for place, file in enumerate(found, 1) if file.name == query.after), None)
        if place is None:
            raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
        found = found[place:]
    return OutputFiles(files=found[: query.limit])


def download(name: str, *, services: "Services", identity: Identity) -> tuple[KeptFile, list[tuple[str, Path]]]:
    """An output, and the members of a zip of it with its pictures. Raises NotFound."""
    owner = _owner(identity)
    with services.database.read() as session:
        row = session.scalar(select(AnnotationTable).where(AnnotationTable.output_file == name))
    if row is None or owner not in (None, row.owner):
        raise NotFound("There is no file {name}.", "文件 {name} 不存在。", name=repr(name[:80]))
    kept = services.files.find(name)
    return kept, list(output.members(row, kept.path, services=services))


def _uploads(services: "Services") -> Uploads:
    return Uploads(services.database, services.files)


def _owner(identity: Identity) -> str | None:
    return None if identity.is_admin else identity.id
