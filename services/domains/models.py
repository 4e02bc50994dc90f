"""Models: listed, pulled, verified and removed."""

import re
from typing import TYPE_CHECKING, Any

from services import pulls
from services.catalog import LOCAL
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.models import (
    Ability,
    CatalogRow,
    CatalogView,
    ChatModelsView,
    ChatModelView,
    ModelView,
    PullRequest,
    PullResult,
    Source,
    VerifyResult,
)
from services.errors import Invalid
from services.providers import find_provider

if TYPE_CHECKING:
    from services.assemble import Services

STARTER = "starter"
HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
DEFAULT_MAX_TOKENS = 4096


@function(lane="io", resumable=True, attempts=3)
def pull(request: PullRequest, *, services: "Services", job: Job = SILENT) -> PullResult:
    """Install the model that *request* names, from the first of its sources that answers.

    Raises NotFound, Invalid for a model without weights, Conflict while it is pulled elsewhere, Unavailable
    when no source answers or the disk is full.
    """
    row = find_to_pull(request.model, services=services)
    there = services.catalog.installed(row)
    manifest = pulls.pull(row, catalog=services.catalog, settings=services.settings, job=job)
    job.progress(1.0, stage="installed")
    return PullResult(
        model=row.id,
        source=manifest.source,
        revision=manifest.revision,
        size_mb=round(sum(file.size_bytes for file in manifest.files.values()) / 2**20, 1),
        files=list(manifest.files),
        already_installed=there,
    )


def find_to_pull(name: str, *, services: "Services") -> CatalogRow:
    """The row called *name*, or one for a hub's repository that the catalog does not list.

    Raises NotFound, and Invalid when it has no weights to pull.
    """
    if _is_hub_id(name):
        return _hub_row(name)
    row = services.catalog.find(name)
    if not row.sources:
        raise Invalid(
            "model",
            "Model {model} has no weights to pull.",
            "模型 {model} 没有可下载的权重。",
            reason="nothing_to_pull",
            model=row.id,
        )
    return row


def _is_hub_id(name: str) -> bool:
    """Whether *name* is `owner/name` as on a hub, and no provider's model."""
    owner = name.partition("/")[0]
    return bool(HUB_ID.fullmatch(name)) and owner != LOCAL and find_provider(owner) is None


def _hub_row(name: str) -> CatalogRow:
    """A row to pull *name* by; what the model is, its own files say once they are here."""
    return CatalogRow(
        id=name.replace("/", "--"),
        name=name,
        abilities=[],
        licence="as its maker says",
        engine="found in its files",
        sources=[Source(hub=name)],
    )


def rows_to_pull(name: str, *, services: "Services") -> list[CatalogRow]:
    """The row called *name*, or the whole starter set. Raises NotFound, Invalid."""
    if name == STARTER:
        return [row for row in services.catalog.rows() if row.starter]
    return [find_to_pull(name, services=services)]


def verify(name: str, *, services: "Services") -> VerifyResult:
    """Whether the files of a pulled model are still what was installed. Raises NotFound, Invalid, Unavailable."""
    return pulls.verify(find_to_pull(name, services=services), catalog=services.catalog)


def remove(name: str, *, services: "Services") -> None:
    """Remove a pulled model; one that is loaded answers on until it is unloaded.

    Raises NotFound, Invalid, Unavailable, and Conflict while it is being pulled.
    """
    pulls.remove(find_to_pull(name, services=services), catalog=services.catalog, settings=services.settings)


def list_chat(*, services: "Services", owner: str) -> ChatModelsView:
    """All that chat, system 4's four first and as its document has them; what *owner* trained comes last."""
    rows = [*services.catalog.rows("chat"), *services.trained.rows("chat", owner=owner)]
    return ChatModelsView(models=[_view(row, services) for row in rows])


def list_able(ability: Ability, *, services: "Services") -> list[ModelView]:
    """All that have *ability*, those that run here first."""
    rows = [row for row in services.catalog.rows(ability) if not row.retired]
    return [_plain_view(row, services) for row in sorted(rows, key=lambda row: not row.local)]


def list_all(*, services: "Services") -> CatalogView:
    """Every model of the catalog that is not retired, those that run here first."""
    rows = sorted((row for row in services.catalog.rows() if not row.retired), key=lambda row: not row.local)
    return CatalogView(models=[_plain_view(row, services) for row in rows], count=len(rows))


def _plain_view(row: CatalogRow, services: "Services") -> ModelView:
    return ModelView(**_described(row, services), pullable=bool(row.sources))


def _view(row: CatalogRow, services: "Services") -> ChatModelView:
    most = row.max_tokens or row.flags.max_output_tokens or DEFAULT_MAX_TOKENS
    return ChatModelView(**_described(row, services), retired=row.retired, maxTokens=most)


def _described(row: CatalogRow, services: "Services") -> dict[str, Any]:
    """The fields that both views have; the answers' own words are those of system 3 and 4."""
    named = {"name": row.name, "provider": row.provider_label, "abilities": row.abilities}
    return services.catalog.described(row) | named
