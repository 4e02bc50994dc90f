"""The models that chat (system 4), and pulling one."""

from typing import Any

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import services
from blueprints.kit.marks import mark
from services.contracts.models import ChatModelsView
from services.domains import models

bp = make_blueprint("models", url_prefix="/api/models", about="Which models there are")


@bp.get("", responses={200: ChatModelsView})
@mark(limit="status")
def list_() -> dict[str, Any]:
    """List the models that chat, installed or not."""
    return models.list_chat(services=services()).model_dump()
