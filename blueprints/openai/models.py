"""OpenAI's list of models: the whole catalog and what the caller trained, with what each can do."""

from typing import Any

from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.openai.shapes import DeletedView
from services.contracts.model_cards import OpenAIModelsView, OpenAIModelView
from services.domains import local_models, model_cards

bp = make_blueprint("openai_models", url_prefix="/v1/models", about="OpenAI's surface: models")


class OpenAIModelPath(BaseModel):
    model: str = Field(description="An id, an alias, `provider/model`, or the `ft:…` name of a trained model")


@bp.get("", responses={200: OpenAIModelsView})
@mark(limit="status")
def list_() -> dict[str, Any]:
    """List every model of the catalog and those that the caller trained."""
    return model_cards.list_(services=services(), identity=me()).model_dump()


@bp.get("/<path:model>", responses={200: OpenAIModelView})
@mark(limit="status")
def show(path: OpenAIModelPath) -> dict[str, Any]:
    """Show one model with what it can do and what it was trained from."""
    return model_cards.show(path.model, services=services(), identity=me()).model_dump()


@bp.delete("/<path:model>", responses={200: DeletedView})
@mark(limit="default")
def remove(path: OpenAIModelPath) -> dict[str, Any]:
    """Remove a model that the caller trained; administrators may remove the weights of a pulled one."""
    gone = model_cards.show(path.model, services=services(), identity=me()).id
    local_models.remove(gone, services=services(), identity=me())
    return DeletedView(id=gone, object="model").model_dump()
