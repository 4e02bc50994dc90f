"""What a route says of itself; `before_request` reads it, since flask-openapi3 validates before any decorator.

Marks stand under the route and leave the view as it is:

    @bp.post("/chat/completions")
    @mark(limit="generation")
    def complete(body: ChatRequest): ...
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from flask import current_app, request

Limit = Literal["training", "inference", "default", "generation", "status", "login", "none"]
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Marks:
    """`public`: needs no token. `account`: needs one even under AUTH=open. `admin`: needs an admin.

    `upload`: takes one picture or sound, many of them, or a data set; see `kit/uploads.py`.
    """

    limit: Limit | None = None
    public: bool = False
    account: bool = False
    admin: bool = False
    upload: Literal["picture", "pictures", "dataset"] | None = None


def mark(**changes: Any) -> Callable[[View], View]:
    """Leave marks on a view and return it unchanged; `functools.wraps` carries them along."""

    def leave(view: View) -> View:
        view.__dict__["marks"] = replace(view.__dict__.get("marks", Marks()), **changes)
        return view

    return leave


def marks() -> Marks:
    """The marks of the view that answers this request."""
    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, "marks", None) or Marks()
