"""The models with a local path: listed, shown, handed out and removed."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services import pulls
from services.catalog import MANIFEST, path_name
from services.compute.registry import function
from services.contracts.accounts import Identity
from services.contracts.local_models import LocalModelsPage, UnloadRequest, UnloadResult
from services.contracts.models import CatalogRow
from services.contracts.training import ModelCard, TrainedModelsQuery, TrainedModelView
from services.datasets.store import MIB
from services.errors import Busy, Denied, Invalid, Malformed, NotFound, ServiceError
from services.tables.models import TrainedModelTable
from services.trained_models import card

if TYPE_CHECKING:
    from services.assemble import Services

# The order of the list: by time, and of one time by id.
Place = tuple[datetime, str]


def list_(query: TrainedModelsQuery, *, services: "Services", identity: Identity) -> LocalModelsPage:
    """What the caller made and what is installed, the newest first; an admin sees what everybody made.

    Raises Invalid when `after` names none of them.
    """
    made, _ = services.trained.page(owner=_owner(identity))
    found: list[tuple[Place, TrainedModelTable | CatalogRow]] = [((row.created_at, row.id), row) for row in made]
    found += [((_came_at(row, services), row.id), row) for row in _installed(services)]
    found.sort(key=lambda one: one[0], reverse=True)
    first = _after(query.after, [place[1] for place, _ in found])
    shown = found[first:][: query.limit]
    more = len(found) > first + len(shown)
    views = [_view(row, services) for _, row in shown]
    return LocalModelsPage(models=views, count=len(found), next=views[-1].id if more and views else None)


def show(name: str, *, services: "Services", identity: Identity) -> ModelCard:
    """All that is known of the model called *name*. Raises NotFound, also for another's."""
    found = _find(name, services, identity)
    return _installed_card(found, services) if isinstance(found, CatalogRow) else card(found)


def remove(name: str, *, services: "Services", identity: Identity) -> None:
    """Remove a model with its files, and from memory where nobody is using it.

    Raises NotFound, also for another's, Denied for an installed one unless the caller is an admin, and Conflict
    while it is being pulled.
    """
    found = _find(name, services, identity)
    if isinstance(found, TrainedModelTable):
        _unload(found.id, services)
        services.trained.remove(found.id, owner=found.owner)
        return
    if not identity.is_admin:
        raise Denied("Only an administrator may remove an installed model.", "仅管理员可以删除已安装的模型。")
    _unload(found.id, services)
    _refuse_by_hand(found)
    pulls.remove(found, catalog=services.catalog, settings=services.settings)


def files(name: str, *, services: "Services", identity: Identity) -> tuple[str, list[tuple[str, Path]]]:
    """The name of a model, and its files with the names that they have in a download. Raises NotFound."""
    found = _find(name, services, identity)
    made = isinstance(found, TrainedModelTable)
    folder = services.trained.folder(found) if isinstance(found, TrainedModelTable) else services.catalog.folder(found)
    inside = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if made and not inside:
        raise NotFound("The files of this model are gone.", "该模型的文件已丢失。", details={"reason": "files_gone"})
    return found.id, [(str(path.relative_to(folder)), path) for path in inside]


@function(needs_engine=True)
def unload(request: UnloadRequest, *, services: "Services") -> UnloadResult:
    """Take models out of memory, where the engines are; what is in use stays until it is not."""
    return UnloadResult(unloaded=[name for name in request.models if services.pool.unload(name)])


def _unload(model_id: str, services: "Services") -> None:
    try:
        services.calls.call("local_models.unload", UnloadRequest(models=[model_id]), services=services)
    except Busy:
        raise
    except ServiceError:
        pass  # A host that does not answer has nothing in memory that would stand in the way of files that go.


def _find(name: str, services: "Services", identity: Identity) -> TrainedModelTable | CatalogRow:
    """What the caller calls *name*: an id before all, then what else means a model of theirs."""
    if row := next((row for row in _installed(services) if name in (row.id, *row.aliases)), None):
        return row
    with suppress(Malformed):  # What is no path of the service names nothing.
        found = services.trained.look_up(name, owner=identity.id)
        if found := found or (services.trained.look_up(name, owner=None) if identity.is_admin else None):
            return found
        row = services.catalog.at_path(name)
        if row and not row.bundled and services.catalog.installed(row):
            return row
    raise NotFound(
        "There is no model {name} here; GET /api/v1/models lists those there are.",
        "模型 {name} 不存在，可通过 GET /api/v1/models 查看可用模型。",
        details={"reason": "model_not_found"},
        name=repr(name[:80]),
    )


def _installed(services: "Services") -> Iterator[CatalogRow]:
    """The catalog's models that have a folder here."""
    return (row for row in services.catalog.rows() if row.local and not row.bundled and services.catalog.installed(row))


def _came_at(row: CatalogRow, services: "Services") -> datetime:
    """When *row* was installed, in UTC as the tables have it."""
    return services.catalog.installed_at(row).astimezone(UTC).replace(tzinfo=None, microsecond=0)


def _after(name: str | None, ids: list[str]) -> int:
    if name is None:
        return 0
    if name not in ids:
        raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
    return ids.index(name) + 1


def _view(row: TrainedModelTable | CatalogRow, services: "Services") -> TrainedModelView:
    whole = _installed_card(row, services) if isinstance(row, CatalogRow) else card(row)
    return TrainedModelView(**{name: getattr(whole, name) for name in TrainedModelView.model_fields})


def _installed_card(row: CatalogRow, services: "Services") -> ModelCard:
    return ModelCard(
        id=row.id,
        name=row.name,
        path=path_name(row),
        base_model=row.base or row.id,
        created_at=_came_at(row, services),
        size_mb=_size_mb(row, services),
        description=row.description,
        kind="installed",
        openai_name=row.id,
        abilities=row.abilities,
        engine=row.engine,
        base_revision=_revision(row, services),
    )


def _size_mb(row: CatalogRow, services: "Services") -> float:
    if row.size_mb is not None:
        return row.size_mb
    inside = services.catalog.folder(row).rglob("*")
    return round(sum(path.stat().st_size for path in inside if path.is_file()) / MIB, 2)


def _revision(row: CatalogRow, services: "Services") -> str:
    """Which revision was pulled; empty for what was put there by hand."""
    if not (services.catalog.folder(row) / MANIFEST).is_file():
        return ""
    return services.catalog.manifest(row).revision


def _refuse_by_hand(row: CatalogRow) -> None:
    """Raise Invalid for a folder that the operator put there and the service would only guess about."""
    if not row.sources:
        raise Invalid(
            "id",
            "Model {model} was put there by hand; remove its folder by hand.",
            "模型 {model} 由管理员手动放置，请手动删除其目录。",
            reason="not_pulled",
            model=row.id,
        )


def _owner(identity: Identity) -> str | None:
    return None if identity.is_admin else identity.id
