"""System 2: the history of pictures."""

from typing import Any

from flask import Response
from pydantic import BaseModel

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.accounts import DoneView
from services.contracts.history import HistoryQuery, HistoryRow, HistoryView
from services.contracts.images import ImageResult
from services.contracts.jobs import JobView
from services.domains import history

bp = make_blueprint("history", url_prefix="/api/history", about="Pictures that were made, and how")


class HistoryPath(BaseModel):
    id: str


@bp.get("", responses={200: HistoryView})
@mark(limit="default")
def list_(query: HistoryQuery) -> dict[str, Any]:
    """List the pictures that were made, the newest first; all of them without `limit`."""
    return history.list_(query, services=services(), identity=me()).model_dump()


@bp.post("/<string:id>/replay", responses={200: HistoryRow, 202: AcceptedView})
@mark(limit="generation")
def replay(path: HistoryPath) -> Response:
    """Make the pictures of a row again, with its model, seed and parameters; the answer is the new row."""
    asked = history.replay_request(path.id, services=services(), identity=me())
    return answer("images.generate", asked, show=_row_of)


@bp.delete("/<string:id>", responses={200: DoneView})
@mark(limit="default")
def remove(path: HistoryPath) -> dict[str, bool]:
    """Forget one row, with the files that only it shows."""
    history.remove(path.id, services=services(), identity=me())
    return {"success": True}


@bp.delete("", responses={200: DoneView})
@mark(limit="default")
def clear() -> dict[str, bool]:
    """Forget all of one's own history, with its files."""
    history.clear(services=services(), owner=me().id)
    return {"success": True}


def _row_of(result: ImageResult, _job: JobView) -> dict[str, Any]:
    row = history.show(str(result.history_id), services=services(), identity=me())
    return row.model_dump()
