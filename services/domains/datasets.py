"""Data sets: taking files in, making training data of them, and showing both."""

from pathlib import Path
from typing import TYPE_CHECKING

from services.compute import child
from services.compute.progress import SILENT, Job
from services.compute.registry import Lane, function
from services.contracts.accounts import Identity
from services.contracts.datasets import (
    BuildRequest,
    Built,
    DatasetDetail,
    DatasetRows,
    DatasetsPage,
    DatasetsQuery,
    DatasetStats,
    DatasetUpload,
    DatasetVersion,
    DatasetView,
    PageFile,
    PageRequest,
    Processed,
    ProcessRequest,
    RowsQuery,
    Scan,
    ScanRequest,
)
from services.datasets import checking, making, pages, processing, scanning
from services.datasets.keeping import DatasetKeeper
from services.datasets.reading import Limits, Nature, Source
from services.datasets.store import DatasetStore, described, size_mb, view
from services.datasets.streams import GZIP
from services.datasets.tokens import Tokens
from services.datasets.writing import draft
from services.errors import Cancelled, ServiceError
from services.tables.datasets import DatasetTable, DatasetVersionTable

if TYPE_CHECKING:
    from services.assemble import Services

# Below this a process of its own takes longer to start than the work takes.
SMALL_BYTES = 2 * 2**20
# What a small gzip may unpack to is not small.
PACKED = 32


def list_(query: DatasetsQuery, *, services: "Services", identity: Identity) -> DatasetsPage:
    """The data sets, the oldest first; an admin sees everybody's."""
    return _store(services).page(query, owner=_owner(identity))


def show(reference: str, *, services: "Services", identity: Identity) -> DatasetDetail:
    """One data set with its versions. Raises NotFound."""
    store = _store(services)
    row = store.find(reference, owner=_owner(identity))
    versions = store.versions(row.id) if row.kind == "processed" else []
    newest = next((made for made in versions if made.version == row.version), None)
    return DatasetDetail(
        **described(row),
        columns=[column["name"] for column in row.columns],
        file={"kind": row.file_kind, "encoding": row.encoding, "sha256": row.sha256},
        bad_rows=row.bad_rows or {},
        splits=newest.splits if newest else None,
        card=newest.card if newest else None,
        versions=[
            DatasetVersion(
                version=made.version,
                created_at=made.created_at,
                samples_count=made.rows,
                size_mb=size_mb(made.size_bytes),
                splits=made.splits,
                source_id=made.source_id or None,
            )
            for made in versions
        ],
    )


def stats(reference: str, *, services: "Services", identity: Identity) -> DatasetStats:
    """What the columns of a data set hold, as its one reading or its making found it. Raises NotFound."""
    store = _store(services)
    row = store.find(reference, owner=_owner(identity))
    card = store.located(row).card
    return DatasetStats(
        id=row.id,
        samples_count=row.rows,
        format=row.format,
        columns=row.columns,
        splits=card.get("splits"),
        counts=card.get("counts"),
    )


def remove(reference: str, *, services: "Services", identity: Identity) -> None:
    """Forget a data set, with its files and all its versions. Raises NotFound."""
    row = _store(services).find(reference, owner=_owner(identity))
    DatasetKeeper(services.database, services.settings).remove(row)


def files(reference: str, *, services: "Services", identity: Identity) -> tuple[str, list[tuple[str, Path]]]:
    """The name of a data set, and its files with the names that they have in a download. Raises NotFound."""
    store = _store(services)
    row = store.find(reference, owner=_owner(identity))
    found = store.located(row)
    if row.kind == "raw":
        return row.path.rpartition("/")[2], [(row.path.rpartition("/")[2], found.parts["train"])]
    listed = sorted(path for path in found.folder.rglob("*") if path.is_file() and not path.is_symlink())
    return row.path.rpartition("/")[2], [(str(path.relative_to(found.folder)), path) for path in listed]


def rows(reference: str, query: RowsQuery, *, services: "Services", identity: Identity) -> DatasetRows:
    """A page of the rows of a data set, in the order in which they lie in its files. Raises NotFound."""
    store = _store(services)
    row = store.find(reference, owner=_owner(identity))
    found = store.located(row, query.version)
    made = found.card.get("splits")
    wanted = PageRequest(
        files=[
            PageFile(path=str(path), split=name, rows=made[name]["rows"], every_line=True)
            if made
            else PageFile(path=str(path))
            for name, path in found.parts.items()
        ],
        kind=found.file_kind,
        encoding=found.encoding,
        after=query.after,
        limit=query.limit,
    )
    page = services.calls.call("datasets.read_page", wanted, services=services)
    following = query.after + len(page.rows)
    return DatasetRows(rows=page.rows, count=found.rows, next=following if following < found.rows else None)


@function(needs_engine=True, lane="cpu")
def read_page(request: PageRequest, *, services: "Services") -> DatasetRows:
    """The rows that *request* asks for; read beside the web, since a page far back is a long way to read."""
    found = pages.read(request, Limits.of(services.settings))
    return DatasetRows(rows=found, count=len(found), next=None)


@function(lane="cpu", attempts=2)
def upload(request: DatasetUpload, *, services: "Services", job: Job = SILENT) -> DatasetView:
    """Read the uploaded file of *request* from end to end, and keep it as a data set where it is one.

    Raises Invalid, which names the first bad rows, UnsupportedMedia, and Unavailable when the disk is full;
    then nothing of the file is kept.
    """
    if done := _store(services).of_job(job.id):
        return view(done)
    kept = services.files.find(request.file, owner=job.owner or None)
    try:
        making.unpack_archive(kept.path, Limits.of(services.settings))
        found = _scan(kept.path, request, services, job)
        row = making.add(kept.path, found, request, services=services, owner=job.owner, job_id=job.id)
    except Cancelled as error:
        if error.reason == "cancelled":
            services.files.forget([kept.name])
        raise
    except ServiceError:
        services.files.forget([kept.name])
        raise
    services.files.forget([kept.name])
    return view(row)


def _scan(path: Path, request: DatasetUpload, services: "Services", job: Job) -> Scan:
    wanted = ScanRequest(path=str(path), on_error=request.on_error)
    if _is_small(path):
        return scan(wanted, services=services, job=job)
    found: Scan = child.run("datasets.scan", wanted, services=services, job=job)
    return found


@function(lane="cpu")
def scan(request: ScanRequest, *, services: "Services", job: Job = SILENT) -> Scan:
    """What one reading of a file finds; the part of an upload that may run in a process of its own."""
    return scanning.scan(Path(request.path), Limits.of(services.settings), on_error=request.on_error, job=job)


def lane(request: ProcessRequest, *, services: "Services", owner: str) -> Lane:
    """Where a job for *request* waits its turn. Raises what is wrong with it, before its job is made."""
    checking.check(request, services=services, owner=owner)
    return "cpu"


@function(lane="cpu", lane_of=lane, attempts=2)
def process(request: ProcessRequest, *, services: "Services", job: Job = SILENT) -> Processed:
    """Make training data of a data set: a new version of the data set that `output_name` names.

    Raises what `checking.check` raises, Invalid for bad rows and when none is left; then nothing is written.
    """
    if done := _store(services).version_of_job(job.id):
        return _processed(*done)
    row = checking.check(request, services=services, owner=job.owner)
    source = _store(services).located(row)
    keeper = DatasetKeeper(services.database, services.settings)
    with draft(keeper.root / "processed") as folder:
        wanted = BuildRequest(
            asked=request,
            source_path=str(source.parts["train"]),
            kind=source.file_kind,
            encoding=source.encoding,
            format=row.format,
            folder=str(folder),
            model_folder=checking.model_folder(request, services),
        )
        built = _build(wanted, services, job)
        made, version = keeper.add_version(folder, built, request, row, owner=job.owner, job_id=job.id)
    return _processed(made, version)


def _processed(made: DatasetTable, version: DatasetVersionTable) -> Processed:
    return Processed(
        id=made.id,
        version=version.version,
        source_id=version.source_id,
        path=made.path,
        splits=version.splits,
        counts=version.card["counts"],
        format=version.card["format"],
        processed_at=version.created_at,
    )


def _build(wanted: BuildRequest, services: "Services", job: Job) -> Built:
    if _is_small(Path(wanted.source_path)):
        return build(wanted, services=services, job=job)
    built: Built = child.run("datasets.build", wanted, services=services, job=job)
    return built


@function(lane="cpu")
def build(request: BuildRequest, *, services: "Services", job: Job = SILENT) -> Built:
    """Write what *request* asks for into its folder; the part of processing that may run in a process of its own."""
    nature = Nature(request.kind, request.encoding)  # type: ignore[arg-type]  # A row of ours has the known words.
    source = Source(Path(request.source_path), Limits.of(services.settings), nature)
    tokens = Tokens(Path(request.model_folder)) if request.model_folder else None
    shape = request.format
    return processing.build(source, shape, request.asked, Path(request.folder), tokens=tokens, job=job)  # type: ignore[arg-type]


def _is_small(path: Path) -> bool:
    """Whether the work on the file at *path* is done before a process of its own has started."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return path.stat().st_size < (SMALL_BYTES // PACKED if packed else SMALL_BYTES)


def _store(services: "Services") -> DatasetStore:
    return DatasetStore(services.database, services.settings)


def _owner(identity: Identity) -> str | None:
    return None if identity.is_admin else identity.id
