"""Models: pull, list, verify and remove."""

from typing import TYPE_CHECKING

from services import pulls
from services.catalog import LOCAL
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.models import CatalogRow, ChatModelsView, ChatModelView, PullRequest, PullResult

if TYPE_CHECKING:
    from services.assemble import Services

STARTER = "starter"
DEFAULT_MAX_TOKENS = 4096


@function(lane="io", resumable=True)
def pull(request: PullRequest, *, services: "Services", job: Job = SILENT) -> PullResult:
    """Install the model that *request* names, from the first of its sources that answers."""
    row = services.catalog.find(request.model)
    there = row.provider == LOCAL and services.catalog.installed(row)
    manifest = pulls.pull(row, catalog=services.catalog, settings=services.settings, job=job)
    folder = services.catalog.folder(row)
    size_bytes = sum((folder / name).stat().st_size for name in manifest.files)
    job.progress(1.0)
    return PullResult(
        model=row.id, size_mb=round(size_bytes / 2**20), files=list(manifest.files), already_installed=there
    )


def rows_to_pull(name: str, *, services: "Services") -> list[CatalogRow]:
    """The row called *name*, or the whole starter set."""
    if name == STARTER:
        return [row for row in services.catalog.rows() if row.starter]
    return [services.catalog.find(name)]


def verify(name: str, *, services: "Services") -> list[str]:
    """The files of an installed model that are missing or changed."""
    return pulls.verify(services.catalog.find(name), catalog=services.catalog)


def remove(name: str, *, services: "Services") -> None:
    """Remove an installed model."""
    pulls.remove(services.catalog.find(name), catalog=services.catalog, settings=services.settings)


def list_chat(*, services: "Services") -> ChatModelsView:
    """All that chat, system 4's four first and as its document has them."""
    return ChatModelsView(
        models=[
            ChatModelView(
                id=row.id,
                name=row.name,
                description=row.description,
                provider=row.provider_label or row.provider,
                maxTokens=row.max_tokens or DEFAULT_MAX_TOKENS,
                installed=services.catalog.installed(row),
                retired=row.retired,
            )
            for row in services.catalog.rows("chat")
        ]
    )
