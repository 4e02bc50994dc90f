"""Feedback: what people thought of an answer, and what it should have been."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from services.contracts.numbers import FromOne
from services.contracts.times import UtcTime

Kind = Literal["chat", "caption", "transcript", "class"]
Rating = Literal["up", "down"]
LONGEST_TEXT = 200_000


class FeedbackMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]]


class FeedbackRequest(BaseModel):
    """A thumb, a corrected answer, or both, for any answer of the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "chat",
                "messages": [{"role": "user", "content": "What is LoRA?"}],
                "answer": "A radio.",
                "rating": "down",
                "correction": "A way to fine-tune a model with few parameters.",
            }
        }
    )

    kind: Kind
    rating: Rating | None = None
    correction: str | None = Field(None, min_length=1, max_length=LONGEST_TEXT, description="The right answer")
    answer: str = Field("", max_length=LONGEST_TEXT, description="What the service said")
    messages: list[FeedbackMessage] = Field([], max_length=1000, description="Of a chat: what was asked")
    file: str = Field("", max_length=255, description="Of a caption, transcript or class: what it was made of")
    annotation_id: str | None = Field(None, max_length=64, description="Of a caption: the annotation it stands in")
    row: FromOne | None = Field(None, description="Its number there")
    model: str = Field("", max_length=256)
    comment: str = Field("", max_length=10_000)

    @model_validator(mode="after")
    def _says_something(self) -> "FeedbackRequest":
        if self.rating is None and self.correction is None:
            raise PydanticCustomError("missing", "a rating or a correction is wanted", {"field": "rating"})
        if self.kind == "chat" and not self.messages:
            raise PydanticCustomError("missing", "a chat has messages", {"field": "messages"})
        if (self.annotation_id is None) != (self.row is None):
            raise PydanticCustomError(
                "missing", "both or none", {"field": "row" if self.row is None else "annotation_id"}
            )
        if self.kind != "chat" and not self.file and self.annotation_id is None:
            raise PydanticCustomError("missing", "what it was made of", {"field": "file"})
        return self


class FeedbackView(BaseModel):
    """Feedback as it is kept."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["feedback-0123456789abcdef"])
    kind: Kind
    rating: Rating | None
    correction: str | None
    answer: str
    messages: list[FeedbackMessage]
    file: str
    annotation_id: str | None
    row: int | None
    model: str
    comment: str
    created_at: UtcTime


class FeedbackPage(BaseModel):
    """Feedback, the oldest first; `count` is how much there is in all."""

    feedback: list[FeedbackView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


class FeedbackQuery(BaseModel):
    """Which feedback."""

    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(None, max_length=64)


class FeedbackDatasetRequest(BaseModel):
    """How feedback of one kind becomes rows: what was corrected as it should be, what was liked as it was."""

    name: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=2000)
    kind: Kind = "chat"
    corrected_only: bool = False
