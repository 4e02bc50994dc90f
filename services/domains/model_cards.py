"""Every model that a caller can name, in the words of OpenAI's and Anthropic's packages."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.catalog import LOCAL
from services.contracts.accounts import Identity
from services.contracts.model_cards import LineageView, OpenAIModelsView, OpenAIModelView
from services.contracts.models import CatalogRow
from services.datasets.store import size_mb
from services.errors import Malformed, NotFound
from services.providers import find_provider
from services.tables.models import TrainedModelTable

if TYPE_CHECKING:
    from services.assemble import Services

EPOCH = datetime.fromtimestamp(0, UTC)


def list_(*, services: "Services", identity: Identity) -> OpenAIModelsView:
    """What the caller trained, the newest first, then the whole catalog in its order."""
    trained, _ = services.trained.page(owner=identity.id)
    views = [_trained_view(row, services) for row in trained]
    views += [_catalog_view(row, services) for row in services.catalog.rows()]
    return OpenAIModelsView(data=views, first_id=views[0].id, last_id=views[-1].id)


def show(name: str, *, services: "Services", identity: Identity) -> OpenAIModelView:
    """The model called *name*: a catalog's, or one that the caller trained. Raises NotFound."""
    found = _find(name, services, identity)
    return _catalog_view(found, services) if isinstance(found, CatalogRow) else _trained_view(found, services)


def _find(name: str, services: "Services", identity: Identity) -> CatalogRow | TrainedModelTable:
    before, slash, plain = name.partition("/")
    kind = find_provider(before) if slash else None
    provider = LOCAL if slash and before == LOCAL else kind.name if kind else None
    for row in services.catalog.rows():
        if name in (row.id, *row.aliases) or (row.provider == provider and plain in (row.id, *row.aliases)):
            return row
    with suppress(Malformed):  # What is no path of the service names nothing.
        found = services.trained.look_up(name, owner=identity.id)
        if found := found or (services.trained.look_up(name, owner=None) if identity.is_admin else None):
            return found
    raise NotFound(
        "There is no model {name} here; GET /v1/models lists those there are.",
        "模型 {name} 不存在，可通过 GET /v1/models 查看可用模型。",
        details={"reason": "model_not_found", "field": "model"},
        name=repr(name[:80]),
    )


def _catalog_view(row: CatalogRow, services: "Services") -> OpenAIModelView:
    here = row.local and services.catalog.installed(row)
    came = services.catalog.installed_at(row) if here and not row.bundled else EPOCH
    return OpenAIModelView(
        **services.catalog.described(row),
        created=int(came.timestamp()),
        created_at=came.astimezone(UTC).replace(tzinfo=None),
        owned_by=row.provider,
        display_name=row.name,
        capabilities=row.abilities,
        provider=row.provider,
        retired=row.retired,
        aliases=row.aliases,
    )


def _trained_view(model: TrainedModelTable, services: "Services") -> OpenAIModelView:
    lineage = {name: getattr(model, name) for name in LineageView.model_fields}
    return OpenAIModelView(
        id=model.openai_name,
        created=int(model.created_at.replace(tzinfo=UTC).timestamp()),
        created_at=model.created_at,
        owned_by=model.owner,
        display_name=model.name,
        description=model.description,
        capabilities=model.abilities,
        provider="local",
        licence=f"as {model.base_model}",
        installed=services.trained.folder(model).is_dir(),
        available=services.trained.folder(model).is_dir(),
        size_mb=size_mb(model.size_bytes),
        aliases=[model.id, model.path],
        parent=model.base_model,
        lineage=LineageView(**lineage),
    )
