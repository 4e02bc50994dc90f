"""Which models were made here, whose they are and where they lie.

On the disk everything of a user lies below `MODELS_DIR/users/<owner>`, so that two users may call two things
`models/checkpoints/sample`; what users see is the path without that.
"""

import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from services.contracts.models import Ability, CatalogRow
from services.contracts.training import ModelCard, NewModel
from services.database import Database
from services.datasets import paths
from services.datasets.store import size_mb
from services.errors import Conflict, Invalid, NotFound
from services.lookups import Lookup
from services.settings import Settings
from services.tables.models import TrainedModelTable
from services.usage import utc_now

USERS = "users"
FINAL = "final"
MOST_RUNS = 10_000
# Most users trained nothing, and each call of a provider's model asks.
_ANY = Lookup(select(TrainedModelTable.id).where(TrainedModelTable.owner == bindparam("owner")))
OTHERS = re.compile(r"[^A-Za-z0-9._-]+")


class TrainedModelStore:
    """Models of all owners. *owner* None acts for an admin, who sees everybody's."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def add(self, new: NewModel) -> TrainedModelTable:
        """List *new*, whose files are there. The same job adds one model, however often it is run."""
        if there := self.of_job(new.job_id):
            return there
        number = secrets.token_hex(4)
        slug = _slug(new.name) or _slug(new.kind)
        base = _slug(new.base_model.rpartition("/")[2])
        row = TrainedModelTable(
            id=f"{slug[:64]}-{number}",
            openai_name=f"ft:{base[:64]}:{_slug(new.owner)}:{slug[:40]}:{number}",
            size_bytes=_size_bytes(self._settings.models_dir / new.location),
            created_at=utc_now(),
            **new.model_dump(),
        )
        try:
            with self._database.write() as session:
                session.add(row)
        except IntegrityError:
            if there := self.of_job(new.job_id):
                return there
            raise
        return row

    def find(self, reference: str, *, owner: str | None, field: str = "model") -> TrainedModelTable:
        """The model that *reference* names: its id, its `ft:…` name, its path, or what its owner calls it.

        Of several with one name the newest. Raises NotFound, also for another's.
        """
        if row := self.look_up(reference, owner=owner, field=field):
            return row
        raise NotFound(
            "There is no trained model {name}; GET /api/v1/models lists those there are.",
            "训练模型 {name} 不存在，可通过 GET /api/v1/models 查看。",
            details={"reason": "model_not_found"},
            name=repr(reference[:80]),
        )

    def look_up(self, reference: str, *, owner: str | None, field: str = "model") -> TrainedModelTable | None:
        """What `find` finds, or None. Raises Malformed for a path that is none of the service's."""
        if owner is not None and _ANY.first(self._database, {"owner": owner}) is None:
            return None
        table = TrainedModelTable
        fits: ColumnElement[bool] = or_(table.id == reference, table.openai_name == reference, table.name == reference)
        if "/" in reference:
            path = paths.normal(reference, field=field)
            fits = table.path.in_([path, f"{path}/{FINAL}"])
        elif not reference.isprintable():
            return None
        wanted = select(table).where(fits, _seen_by(owner)).order_by(table.created_at.desc())
        with self._database.read() as session:
            found = list(session.scalars(wanted))
        exact = (row for row in found if reference in (row.id, row.openai_name))
        return next(exact, found[0] if found else None)

    def of_job(self, job_id: str) -> TrainedModelTable | None:
        """The model that the job *job_id* made."""
        with self._database.read() as session:
            return session.scalar(select(TrainedModelTable).where(TrainedModelTable.job_id == job_id))

    def page(
        self, *, owner: str | None, limit: int | None = None, after: str | None = None
    ) -> tuple[list[TrainedModelTable], int]:
        """Models, the newest first, and how many there are in all. Raises Invalid when *after* names none."""
        table, seen = TrainedModelTable, _seen_by(owner)
        order = (table.created_at.desc(), table.id.desc())
        with self._database.read() as session:
            count = session.scalar(select(func.count()).select_from(table).where(seen)) or 0
            wanted = select(table).where(seen)
            if after is not None:
                last = session.scalar(select(table).where(seen, table.id == after))
                if last is None:
                    raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
                same = and_(table.created_at == last.created_at, table.id < last.id)
                wanted = wanted.where(or_(table.created_at < last.created_at, same))
            return list(session.scalars(wanted.order_by(*order).limit(limit))), count

    def newest(self, *, owner: str | None, ability: Ability = "chat") -> TrainedModelTable | None:
        """The newest model of *owner* that has *ability*."""
        rows, _ = self.page(owner=owner)
        return next((row for row in rows if ability in row.abilities), None)

    def rows(self, ability: Ability | None = None, *, owner: str | None) -> list[CatalogRow]:
        """Models as rows of the catalog, the newest first: all, or those with *ability*."""
        rows, _ = self.page(owner=owner)
        return [as_catalog_row(row) for row in rows if ability is None or ability in row.abilities]

    def row(self, model_id: str) -> CatalogRow | None:
        """The model *model_id* as a row of the catalog, whoever owns it: for where the engines are."""
        with self._database.read() as session:
            found = session.get(TrainedModelTable, model_id)
        return as_catalog_row(found) if found else None

    def folder(self, model: TrainedModelTable) -> Path:
        """Where the weights of *model* lie."""
        return self._settings.models_dir / model.location

    def place(self, owner: str, output_dir: str, name: str) -> tuple[str, str]:
        """A fresh folder for a run of *owner*, `<output_dir>/<name>[-n]`: its path for people, its place on the disk.

        The second is below MODELS_DIR. Nothing that is there is taken. Raises Malformed for an *output_dir* that
        is none of the service's.
        """
        told = output_place(output_dir)
        self.refuse_inside(owner, told)
        home = paths.inside(self._settings.models_dir, f"{USERS}/{_slug(owner)}/{told[7:]}", field="output_dir")
        home.mkdir(parents=True, exist_ok=True)
        for number in range(1, MOST_RUNS):
            leaf = name if number == 1 else f"{name}-{number}"
            try:
                (home / leaf).mkdir()
            except FileExistsError:
                continue
            return f"{told}/{leaf}", str((home / leaf).relative_to(self._settings.models_dir.resolve()))
        raise Conflict("There are too many runs in {path}.", "{path} 中的训练过多。", path=told)

    def refuse_inside(self, owner: str, output_dir: str) -> None:
        """Raise Conflict where *output_dir* of *owner* lies in the folder of a model, and would go with it."""
        steps = [USERS, _slug(owner), *output_place(output_dir).split("/")[1:]]
        above = ["/".join(steps[:count]) for count in range(3, len(steps) + 1)]
        with self._database.read() as session:
            wanted = select(TrainedModelTable.id).where(TrainedModelTable.location.in_(above))
            if (inside := session.scalar(wanted)) is None:
                return
        raise Conflict(
            "{path} lies in the folder of the model {model}; choose another.",
            "{path} 位于模型 {model} 的目录中，请选择其他路径。",
            details={"reason": "inside_a_model"},
            path=output_dir,
            model=inside,
        )

    def note_use(self, model_id: str) -> None:
        """Count one use of *model_id*."""
        table = TrainedModelTable
        counted = {"usage_count": table.usage_count + 1, "last_used": utc_now()}
        with self._database.write() as session:
            session.execute(update(table).where(table.id == model_id).values(**counted))

    def change(self, model_id: str, **values: Any) -> None:
        """Write *values* (`metrics`, `evaluation`, `parity`, `description`) to the model's row."""
        with self._database.write() as session:
            session.execute(update(TrainedModelTable).where(TrainedModelTable.id == model_id).values(**values))

    def remove(self, model_id: str, *, owner: str | None) -> TrainedModelTable:
        """Remove a model and its files. Raises NotFound."""
        row = self.find(model_id, owner=owner)
        with self._database.write() as session:
            session.execute(delete(TrainedModelTable).where(TrainedModelTable.id == row.id))
        folder = self.folder(row)
        whole_run = row.kind != "merged" and folder.name == FINAL and not self._others_below(folder.parent)
        shutil.rmtree(folder.parent if whole_run else folder, ignore_errors=True)
        return row

    def _others_below(self, folder: Path) -> bool:
        """Whether a model lies below *folder*, as one that was merged into the folder of its run does."""
        below = f"{folder.relative_to(self._settings.models_dir)}/"
        with self._database.read() as session:
            wanted = select(TrainedModelTable.id).where(TrainedModelTable.location.startswith(below, autoescape=True))
            return session.scalar(wanted) is not None


def output_place(text: str) -> str:
    """What an `output_dir` means: `models` or `models/…`. Raises Malformed for all that is none of the service's."""
    if text.strip("/") in {"models", "./models"}:
        return "models"
    told = paths.normal(text, field="output_dir")
    told = told if "/" in told else f"models/{told}"
    if not told.startswith("models/") or told.startswith(f"models/{USERS}/") or told == f"models/{USERS}":
        raise paths.forbidden(text, "output_dir")
    return told


def as_catalog_row(model: TrainedModelTable) -> CatalogRow:
    """*model* as the catalog knows models."""
    return CatalogRow(
        id=model.id,
        name=model.name,
        description=model.description,
        abilities=model.abilities,
        licence=f"as {model.base_model}",
        engine=model.engine,
        folder=model.location,
        base=model.base_model if model.adapter else None,
        aliases=[model.openai_name],
        size_mb=round(size_mb(model.size_bytes)),
    )


def is_trained(row: CatalogRow) -> bool:
    """Whether *row* is a model that was made here, whose uses are counted."""
    return (row.folder or "").startswith(f"{USERS}/")


def card(model: TrainedModelTable) -> ModelCard:
    """All that is known of *model*."""
    known = {name: getattr(model, name) for name in ModelCard.model_fields if name != "size_mb"}
    return ModelCard(size_mb=size_mb(model.size_bytes), **known)


def _seen_by(owner: str | None) -> ColumnElement[bool]:
    return true() if owner is None else TrainedModelTable.owner == owner


def _slug(text: str) -> str:
    """What of *text* may stand in an id; empty where nothing may, as with Chinese names."""
    return OTHERS.sub("-", text).strip("-._")


def _size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
