"""System 2: configurations of providers, kept and tried."""

from typing import Any

from flask import request
from pydantic import BaseModel

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from blueprints.kit.problems import language
from services.contracts.accounts import DoneView
from services.contracts.configurations import (
    ConfigurationChange,
    ConfigurationRequest,
    ConfigurationsView,
    ConfigurationTest,
    ConfigurationTestView,
    ConfigurationView,
)
from services.domains import configurations

bp = make_blueprint("configurations", url_prefix="/api/config", about="Providers, each with its key, address and model")

# Ids are longer than the words that stand in their place, so that `PUT /test` is a wrong method and no missing id.
ONE = "/<string(minlength=8):id>"


class ConfigurationPath(BaseModel):
    id: str


@bp.get("", responses={200: ConfigurationsView})
@mark(limit="default")
def list_() -> dict[str, Any]:
    """List the configurations; of each key only the ends are shown."""
    return configurations.list_(services=services(), identity=me()).model_dump()


@bp.post("", responses={200: ConfigurationView})
@mark(limit="default")
def create(body: ConfigurationRequest) -> dict[str, Any]:
    """Store a configuration; its key is encrypted."""
    return configurations.create(body, services=services(), owner=me().id).model_dump()


@bp.put(ONE, responses={200: ConfigurationView})
@mark(limit="default")
def change(path: ConfigurationPath, body: ConfigurationChange) -> dict[str, Any]:
    """Change what is named of a configuration, and leave the rest."""
    return configurations.change(path.id, body, services=services(), identity=me()).model_dump()


@bp.delete(ONE, responses={200: DoneView})
@mark(limit="default")
def remove(path: ConfigurationPath) -> dict[str, bool]:
    """Delete a configuration and its key."""
    configurations.remove(path.id, services=services(), identity=me())
    return {"success": True}


@bp.post("/test", responses={200: ConfigurationTestView})
@mark(limit="default")
def try_out(body: ConfigurationTest) -> dict[str, Any]:
    """Try a configuration by a real, cheap call; a refused key is an answer with `ok: false`."""
    with client_waits(request.environ):
        found = configurations.try_out(body, services=services(), identity=me(), language=language())
    return found.model_dump()
