"""The work of one annotation: its rows are laid out, and described side by side in a bounded pool."""

import contextvars
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from services.annotations.describing import Describer, Description, open_describer, prompt_of
from services.annotations.endpoints import Endpoint
from services.annotations.store import AnnotationStore, description_key, storable, told
from services.annotations.uploads import Uploads, not_uploaded
from services.compute.progress import Job
from services.contracts.annotations import AnnotationRequest
from services.errors import Cancelled, NotFound, ServiceError
from services.tables.annotations import AnnotationRowTable, AnnotationTable
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

# They read and write while the others wait for the provider.
SPARE_THREADS = 4


def begin(request: AnnotationRequest, endpoint: Endpoint, services: "Services", job: Job) -> AnnotationTable:
    """The annotation for *request* with its rows; a job that goes on finds what it kept before."""
    now = utc_now()
    annotation = AnnotationTable(
        id=job.id or str(uuid.uuid4()),
        owner=job.owner,
        provider=endpoint.provider,
        model=endpoint.model,
        system_prompt=storable(request.system_prompt),
        prompt=storable(prompt_of(request)),
        temperature=request.temperature,
        format=request.format,
        demo=endpoint.demo,
        input_price=request.input_price,
        output_price=request.output_price,
        total=len(request.file_names),
        output_rows=0,
        created_at=now,
    )
    found = Uploads(services.database, services.files).named(request.file_names, owner=job.owner)
    rows = []
    for number, asked in enumerate(request.file_names, 1):
        row = AnnotationRowTable(annotation_id=annotation.id, number=number, asked_name=storable(asked)[:255])
        row.updated_at, row.status = now, "pending"
        upload = found.get(asked)
        row.file_name = upload.name if upload else ""
        row.original_name = upload.original_name if upload else row.asked_name
        row.sha256 = upload.sha256 if upload else ""
        if upload is None:
            row.status, row.error = "failed", told(not_uploaded(asked))
        rows.append(row)
    return AnnotationStore(services.database).begin(annotation, rows)


def describe_all(
    annotation: AnnotationTable, request: AnnotationRequest, endpoint: Endpoint, services: "Services", job: Job
) -> None:
    """Describe the rows that wait, side by side. Raises Cancelled; all else becomes the error of its row."""
    waiting = list(AnnotationStore(services.database).rows(annotation.id, AnnotationRowTable.status == "pending"))
    done, total = annotation.total - len(waiting), annotation.total
    job.progress(done / total, done=done, total=total)
    if not waiting:
        return
    work = Work(annotation, request, endpoint, services, job)
    with ThreadPoolExecutor(request.concurrency + SPARE_THREADS, "annotate") as pool:
        # Each thread needs the job's switch, which a context carries.
        ways = [
            pool.submit(contextvars.copy_context().run, work.describe_same, rows) for rows in _same_pictures(waiting)
        ]
        try:
            for way in as_completed(ways):
                done += way.result()
                job.progress(done / total, done=done, total=total)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _same_pictures(rows: list[AnnotationRowTable]) -> Iterator[list[AnnotationRowTable]]:
    """The rows, those of one picture together, so that it is paid for once; otherwise in their order."""
    places: dict[str, int] = {}
    for row in rows:
        places.setdefault(row.sha256, row.number)
    together = sorted(rows, key=lambda row: (places[row.sha256], row.number))
    for _, same in groupby(together, key=lambda row: row.sha256):
        yield list(same)


class Work:
    """Describes the pictures of one annotation, in as many threads as there are."""

    def __init__(
        self,
        annotation: AnnotationTable,
        request: AnnotationRequest,
        endpoint: Endpoint,
        services: "Services",
        job: Job,
    ) -> None:
        self._annotation, self._endpoint, self._services, self._job = annotation, endpoint, services, job
        self._store = AnnotationStore(services.database)
        self._describer: Describer = open_describer(request, endpoint, services)

    def describe_same(self, rows: list[AnnotationRowTable]) -> int:
        """Describe *rows*, which show the same picture; how many there were. Raises Cancelled."""
        for row in rows:
            self._job.check()
            try:
                self._describe(row)
            except Cancelled:
                raise
            except ServiceError as error:
                self._job.check()
                self._store.fail(row, error)
        return len(rows)

    def _describe(self, row: AnnotationRowTable) -> None:
        key = self._key(row)
        known = self._store.known(key) if key else None
        made = Description(known) if known is not None else self._describer.describe(self._path(row), self._job)
        self._store.complete(row, made, key=key, owner=self._annotation.owner, cached=known is not None)

    def _path(self, row: AnnotationRowTable) -> Path:
        try:
            return self._services.files.find(row.file_name, owner=self._annotation.owner or None).path
        except NotFound as error:
            raise not_uploaded(row.asked_name) from error

    def _key(self, row: AnnotationRowTable) -> str:
        """Where the description is remembered; a demonstration costs nothing and is not."""
        if self._endpoint.demo:
            return ""
        of = self._annotation
        prompts = (of.system_prompt, of.prompt)
        return description_key(of.owner, self._endpoint.url, of.model, prompts, of.temperature, row.sha256)
