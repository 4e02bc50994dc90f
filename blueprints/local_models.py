"""System 5: the models with a local path: those that were made here, and those that are installed."""

from typing import Any

from flask import Response, stream_with_context
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.problems import now
from services.archives import stream_zip
from services.contracts.accounts import DoneView
from services.contracts.local_models import LocalModelsPage
from services.contracts.training import ModelCard, TrainedModelsQuery
from services.domains import local_models

bp = make_blueprint("local_models", url_prefix="/api/v1/models", about="Models with a local path (system 5)")


class ModelPath(BaseModel):
    model_id: str = Field(max_length=300, description="Id of a model, its `ft:…` name, or what its owner calls it")


class LocalModelsShown(LocalModelsPage):
    timestamp: str = Field(examples=["2023-03-08T15:00:00Z"])


@bp.get("", responses={200: LocalModelsShown})
@mark(limit="default")
def list_(query: TrainedModelsQuery) -> dict[str, Any]:
    """List what the caller trained and what is installed, the newest first; all of it without `limit`."""
    return local_models.list_(query, services=services(), identity=me()).model_dump() | {"timestamp": now()}


@bp.get("/<string:model_id>", responses={200: ModelCard})
@mark(limit="default")
def show(path: ModelPath) -> dict[str, Any]:
    """Show a model: where it comes from, its parameters, how good it is, and how much it is used."""
    return local_models.show(path.model_id, services=services(), identity=me()).model_dump()


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
    response = Response(stream_with_context(stream_zip(files)), mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}.zip")
    response.headers["Cache-Control"] = "private"
    return response
