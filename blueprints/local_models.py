"""System 5: the models with a local path: those that were made here, and those that are installed."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.downloads import send_zip
from blueprints.kit.marks import mark
from blueprints.kit.problems import language, now
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.accounts import DoneView
from services.contracts.evaluation import EvaluateRequest, Evaluation, EvaluationView
from services.contracts.jobs import JobView
from services.contracts.local_models import LocalModelsPage
from services.contracts.training import ModelCard, TrainedModelsQuery
from services.domains import evaluation, local_models

bp = make_blueprint("local_models", url_prefix="/api/v1/models", about="Models with a local path (system 5)")


class ModelPath(BaseModel):
    model_id: str = Field(max_length=300, description="Id of a model, its `ft:…` name, or what its owner calls it")


class LocalModelsShown(LocalModelsPage):
    timestamp: str = Field(examples=["2023-03-08T15:00:00Z"])


class ShownEvaluation(EvaluationView):
    notes: list[str] = Field([], description="What has to be known to read it")  # type: ignore[assignment]


@bp.get("", responses={200: LocalModelsShown})
@mark(limit="default")
def list_(query: TrainedModelsQuery) -> dict[str, Any]:
    """List what the caller trained and what is installed, the newest first; all of it without `limit`."""
    return local_models.list_(query, services=services(), identity=me()).model_dump() | {"timestamp": now()}


@bp.get("/<string:model_id>", responses={200: ModelCard})
@mark(limit="default")
def show(path: ModelPath) -> dict[str, Any]:
    """Show a model: where it comes from, its parameters, how good it is, and how much it is used."""
    card = local_models.show(path.model_id, services=services(), identity=me()).model_dump()
    return card | {"evaluation": _in_one_language(card["evaluation"])}


@bp.delete("/<string:model_id>", responses={200: DoneView})
@mark(limit="default")
def remove(path: ModelPath) -> dict[str, bool]:
    """Remove a model with its files; what is installed for all only an administrator may."""
    local_models.remove(path.model_id, services=services(), identity=me())
    return {"success": True}


@bp.get(
    "/<string:model_id>/download",
    responses={200: {"description": "The files as a zip", "content": {"application/zip": {}}}},
)
@mark(limit="default")
def download(path: ModelPath) -> Response:
    """Download the files of a model as a zip."""
    name, files = local_models.files(path.model_id, services=services(), identity=me())
    return send_zip(name, files)


@bp.post("/<string:model_id>/evaluate", responses={200: ShownEvaluation, 202: AcceptedView})
@mark(limit="default")
def evaluate(path: ModelPath, body: EvaluateRequest) -> Response:
    """Measure a trained model beside its base on rows that it did not learn, and keep the result with it."""
    order = evaluation.order(path.model_id, body, services=services(), identity=me())

    def show_measured(found: Evaluation, job: JobView) -> dict[str, Any]:
        told = {"task_id": job.id, "status": job.status, "model": order.model}
        return told | _in_one_language(found.model_dump())

    return answer("evaluation.evaluate", order, show=show_measured)


def _in_one_language(told: dict[str, Any]) -> dict[str, Any]:
    """An evaluation, with its notes as sentences of the caller's language."""
    if "notes" not in told:
        return told
    return told | {"notes": [note.get(language(), note.get("en", "")) for note in told["notes"]]}
