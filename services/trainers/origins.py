"""What a model that was made here was made of, as long as it is still there."""

from typing import TYPE_CHECKING, Any

import orjson

from services.contracts.models import CatalogRow
from services.contracts.training import TrainingRequest
from services.datasets.store import DatasetStore, Located
from services.errors import NotFound
from services.tables.models import TrainedModelTable
from services.trainers import inputs
from services.trainers.text.model import HOW_TRAINED

if TYPE_CHECKING:
    from services.assemble import Services


def base_of(model: TrainedModelTable, *, services: "Services") -> CatalogRow:
    """The base of *model*, which is installed. Raises NotFound, Unavailable with the command that installs it."""
    row = inputs.reopen_base(model.base_model, services=services)
    services.catalog.path(row)
    return row


def request_of(model: TrainedModelTable, *, services: "Services") -> TrainingRequest | None:
    """What was asked for when *model*, or the adapter that it was merged of, was trained; None when nobody knows."""
    try:
        asked, _ = services.jobs.asked(model.job_id)
    except NotFound:
        asked = None
    if isinstance(asked, TrainingRequest):
        return asked
    told = _how_trained(model, services)
    return TrainingRequest.model_validate(told) if told else None


def dataset_of(model: TrainedModelTable, *, services: "Services") -> Located:
    """The data set that *model* learned, of the version that it saw. Raises NotFound when it is gone."""
    if request := request_of(model, services=services):
        return inputs.reopen_dataset(request, services=services, owner=model.owner)
    if model.dataset_id:
        store = DatasetStore(services.database, services.settings)
        row = store.find(model.dataset_id, owner=None, field="dataset_path")
        return store.located(row, model.dataset_version)
    raise NotFound(
        "Nobody knows any more what this model was trained on; name a data set in 'dataset_path'.",
        "该模型的训练数据已不可知，请用 'dataset_path' 指定数据集。",
        details={"field": "dataset_path", "reason": "dataset_gone"},
    )


def _how_trained(model: TrainedModelTable, services: "Services") -> dict[str, Any]:
    """The request that an adapter has with it in its folder."""
    try:
        told = orjson.loads((services.trained.folder(model) / HOW_TRAINED).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return dict(told.get("request") or {}) if isinstance(told, dict) else {}
