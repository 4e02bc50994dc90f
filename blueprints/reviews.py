"""What people make of descriptions: rows are changed, accepted or rejected, and become a data set."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.problems import language
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.annotations import (
    AnnotationDatasetRequest,
    AnnotationRow,
    AnnotationRowsQuery,
    AnnotationView,
    ReviewRequest,
)
from services.contracts.datasets import DatasetView
from services.domains import annotations

bp = make_blueprint("reviews", url_prefix="/api/annotations", about="Descriptions of pictures, reviewed by people")


class AnnotationPath(BaseModel):
    id: str = Field(max_length=64)


class RowPath(AnnotationPath):
    n: int = Field(ge=1, description="Number of the row, from 1")


class AnnotationRowShown(AnnotationRow):
    error: str | None = None  # type: ignore[assignment]  # A sentence in the caller's language.


class AnnotationRowsShown(BaseModel):
    """A page of rows; `count` is how many there are in all."""

    rows: list[AnnotationRowShown]
    count: int
    next: int | None = Field(description="`after` of the next page; null at the end")


@bp.get("/<string:id>", responses={200: AnnotationView})
@mark(limit="status")
def show(path: AnnotationPath) -> dict[str, Any]:
    """Show an annotation: what was asked, and how its rows stand."""
    return annotations.show(path.id, services=services(), identity=me()).model_dump()


@bp.get("/<string:id>/rows", responses={200: AnnotationRowsShown})
@mark(limit="status")
def list_rows(path: AnnotationPath, query: AnnotationRowsQuery) -> dict[str, Any]:
    """List the rows of an annotation in pages, all or those of one verdict."""
    page = annotations.rows(path.id, query, services=services(), identity=me())
    return {"rows": [_row(row) for row in page.rows], "count": page.count, "next": page.next}


@bp.get("/<string:id>/rows/<int:n>", responses={200: AnnotationRowShown})
@mark(limit="status")
def show_row(path: RowPath) -> dict[str, Any]:
    """Show one row of an annotation."""
    return _row(annotations.show_row(path.id, path.n, services=services(), identity=me()))


@bp.patch("/<string:id>/rows/<int:n>", responses={200: AnnotationRowShown})
@mark(limit="default")
def review_row(path: RowPath, body: ReviewRequest) -> dict[str, Any]:
    """Change the text of a row, accept it or reject it."""
    return _row(annotations.review(path.id, path.n, body, services=services(), identity=me()))


@bp.post("/<string:id>/dataset", responses={200: DatasetView, 202: AcceptedView})
@mark(limit="default")
def make_dataset(path: AnnotationPath, body: AnnotationDatasetRequest) -> Response:
    """Make a data set of the accepted rows, ready to be fine-tuned on."""
    wanted = annotations.prepare_dataset(path.id, body, services=services(), identity=me())
    return answer("annotations.make_dataset", wanted, show=lambda made, _job: made.model_dump())


def _row(row: AnnotationRow) -> dict[str, Any]:
    return row.model_dump() | {"error": row.error[language()] if row.error else None}
