"""From use to data: a thumb or a corrected answer is kept, and becomes rows of a data set."""

from typing import Any

from flask import Response

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.datasets import DatasetView
from services.contracts.feedback import (
    FeedbackDatasetRequest,
    FeedbackPage,
    FeedbackQuery,
    FeedbackRequest,
    FeedbackView,
)
from services.domains import feedback

bp = make_blueprint("feedback", url_prefix="/api", about="What people think of answers, as training data")


@bp.post("/feedback", responses={200: FeedbackView})
@mark(limit="default")
def keep(body: FeedbackRequest) -> dict[str, Any]:
    """Keep a thumb or a corrected answer for a chat, caption, transcript or class."""
    return feedback.keep(body, services=services(), identity=me()).model_dump()


@bp.get("/feedback", responses={200: FeedbackPage})
@mark(limit="status")
def list_(query: FeedbackQuery) -> dict[str, Any]:
    """List feedback, the oldest first."""
    return feedback.list_(query, services=services(), identity=me()).model_dump()


@bp.post("/v1/datasets/from-feedback", responses={200: DatasetView, 202: AcceptedView})
@mark(limit="default")
def make_dataset(body: FeedbackDatasetRequest) -> Response:
    """Make a data set of your feedback: corrected answers as they should be, liked ones as they were.

    Where pictures that it is about are still here, they are packed with their rows, and rows without one are
    left out.
    """
    return answer("feedback.make_dataset", body, show=lambda made, _job: made.model_dump())
