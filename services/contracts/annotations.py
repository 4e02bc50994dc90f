"""Annotations: pictures that a vision model describes, the rows that people review, and what is made of them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.contracts.numbers import FromZero
from services.contracts.texts import PlainText
from services.contracts.times import UtcTime

Format = Literal["openai", "sharegpt", "llava", "alpaca"]
DatasetFormat = Literal["openai", "sharegpt", "llava", "alpaca", "labels"]
Review = Literal["pending", "accepted", "rejected"]
RowStatus = Literal["pending", "completed", "failed"]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Concurrency = Annotated[int, Field(ge=1, le=64)]
Price = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
MOST_PICTURES = 10_000
LONGEST_DESCRIPTION = 100_000
LONGEST_PROMPT = 100_000


class UploadedPicture(BaseModel):
    """A picture that was kept to be described; `name` is what later requests call it."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(examples=["0123456789abcdef0123456789abcdef.jpg"])
    original_name: str = Field(examples=["cat.jpg"])
    size: int = Field(description="In bytes")
    content_type: str = Field(examples=["image/jpeg"])
    width: int
    height: int
    sha256: str


class AnnotationRequest(BaseModel):
    """What is to be described, and by whom. `file_names` are names of uploads, in the order of the rows."""

    endpoint: str = Field(max_length=2000, description="A full URL, or `demo`")
    api_key: SecretStr = SecretStr("")
    model: str = Field("", max_length=256)
    system_prompt: PlainText = Field("", max_length=LONGEST_PROMPT)
    prompt: PlainText = Field("", max_length=LONGEST_PROMPT)
    temperature: Temperature | None = None
    format: Format = "openai"
    concurrency: Concurrency = 8
    file_names: list[str] = Field(min_length=1, max_length=MOST_PICTURES)
    language: Literal["zh", "en"] = "zh"
    input_price: Price | None = Field(None, description="Of a million prompt tokens")
    output_price: Price | None = Field(None, description="Of a million completion tokens")


class AnnotationResult(BaseModel):
    """What became of one picture: a description, or an error in both languages."""

    file_name: str
    description: str | None = None
    error: dict[str, Any] | None = Field(None, description="A sentence in each language, and the reason")


class AnnotationUsage(BaseModel):
    """What was used. Pictures that were described before cost nothing."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: int = Field(0, description="Pictures whose description was known")
    cost: float | None = Field(None, description="By the prices of the request; null without them")


class AnnotationDone(BaseModel):
    """What an annotation came to; there is no output where no picture was described."""

    id: str
    total: int
    succeeded: int
    failed: int
    output_file: str | None
    demo: bool = False
    usage: AnnotationUsage = AnnotationUsage()
    results: list[AnnotationResult]


class AnnotationView(BaseModel):
    """An annotation as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="The same as the `task_id`")
    provider: str = Field(examples=["openai"])
    model: str
    system_prompt: str
    prompt: str
    temperature: float | None
    format: Format
    demo: bool
    output_file: str | None
    total: int
    succeeded: int
    failed: int
    accepted: int = 0
    rejected: int = 0
    usage: AnnotationUsage
    created_at: UtcTime


class AnnotationsPage(BaseModel):
    """Annotations, the oldest first; `count` is how many there are in all."""

    annotations: list[AnnotationView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


class AnnotationsQuery(BaseModel):
    """Which annotations."""

    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(None, max_length=64)


class AnnotationRow(BaseModel):
    """One picture and its description; `number` counts from 1."""

    number: int
    file_name: str
    original_name: str
    status: RowStatus
    description: str | None
    review: Review
    edited: bool = Field(description="A person changed the description")
    cached: bool
    demo: bool
    error: dict[str, Any] | None = None
    prompt_tokens: int
    completion_tokens: int
    updated_at: UtcTime


class AnnotationRows(BaseModel):
    """A page of rows; `count` is how many there are in all."""

    rows: list[AnnotationRow]
    count: int
    next: int | None = Field(None, description="`after` of the next page; null at the end")


class AnnotationRowsQuery(BaseModel):
    """Which rows of an annotation."""

    limit: int = Field(20, ge=1, le=100)
    after: FromZero = Field(0, description="Number of the last row of the page before")
    review: Review | None = None


class ReviewRequest(BaseModel):
    """What a person makes of a row: another text, a verdict, or both."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"description": "A tabby cat on a sill.", "review": "accepted"}}
    )

    description: str | None = Field(None, min_length=1, max_length=LONGEST_DESCRIPTION)
    review: Review | None = None


class AnnotationDatasetRequest(BaseModel):
    """How the accepted rows of an annotation become a data set."""

    name: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=2000)
    format: DatasetFormat | None = Field(
        None, description="That of the annotation where none is named; `labels` is for a classifier"
    )
    images: bool = Field(True, description="Packs the pictures with the rows; else only their names stand there")


class AnnotationDatasetJob(AnnotationDatasetRequest):
    """The same for a job, with the annotation that it is about."""

    annotation_id: str


class OutputFile(BaseModel):
    name: str = Field(examples=["0123456789abcdef0123456789abcdef.jsonl"])
    size: int = Field(description="In bytes")
    rows: int
    created_at: UtcTime


class OutputFiles(BaseModel):
    """What annotations wrote, the oldest first."""

    files: list[OutputFile]


class OutputsQuery(BaseModel):
    """Which outputs: all without a limit, as the documented clients know no pages."""

    limit: int | None = Field(None, ge=1, le=100)
    after: str | None = Field(None, max_length=64, description="Name of the last file of the page before")
