"""Data sets: what is uploaded, what is made of it, and what is told of both."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.contracts.images import KeptName
from services.contracts.numbers import FromOne, FromZero
from services.contracts.times import UtcTime


def _without_controls(value: Any) -> Any:
    """A text without control characters, which no database and no terminal wants, nor halves of characters."""
    if not isinstance(value, str):
        return value
    kept = "".join(letter for letter in value if letter.isprintable() or letter in "\n\t")
    return kept.strip()


OnError = Literal["fail", "skip"]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Visible = Annotated[str, BeforeValidator(_without_controls)]
LONGEST_NAME = 200


class DatasetUpload(BaseModel):
    """A file that was kept as an upload, to become a data set."""

    file: KeptName
    file_name: str = Field(max_length=1000, description="As the sender called it")
    sha256: str
    name: str
    description: str = ""
    on_error: OnError = "fail"


class ScanRequest(BaseModel):
    """A file to be read from end to end."""

    path: str
    on_error: OnError = "fail"


class Scan(BaseModel):
    """What one reading of a file found."""

    kind: str
    encoding: str
    format: str
    rows: int
    columns: list[dict[str, Any]]
    bad_rows: dict[str, Any]
    formulas: int = 0


class ProcessRequest(BaseModel):
    """How to make training data of a data set. Unknown fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "dataset_id": "dataset_3",
                "output_name": "finance_processed",
                "train_ratio": 0.8,
                "val_ratio": 0.1,
                "test_ratio": 0.1,
                "template": "### 指令:\n{instruction}\n\n### 回答:\n{response}",
            }
        }
    )

    dataset_id: str = Field(min_length=1, max_length=512, description="Id, name or path of a data set")
    output_name: str = Field(min_length=1, max_length=100, description="Letters, digits, `-`, `_` and `.`")
    train_ratio: Ratio = 0.8
    val_ratio: Ratio = 0.1
    test_ratio: Ratio = 0.1
    template: str | None = Field(None, max_length=20_000, description="A format string over columns")
    model: str | None = Field(
        None, max_length=256, description="Whose chat template words conversations, and whose tokens are counted"
    )
    dedupe: bool = Field(False, description="Keep the first of equal rows")
    group_by: str | None = Field(None, max_length=256, description="Rows with one value here stay in one part")
    min_length: int | None = Field(None, ge=0, description="In characters, or tokens of `model`")
    max_length: int | None = Field(None, ge=1, description="In characters, or tokens of `model`")
    seed: int = Field(42, ge=0, le=2**53 - 1, description="Of the order in which rows are split")
    on_error: OnError = Field("fail", description="`skip` leaves bad rows out")
    description: Annotated[Visible, Field(max_length=2000)] = ""

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Of training, validation and test."""
        return self.train_ratio, self.val_ratio, self.test_ratio


class BuildRequest(BaseModel):
    """Processing as the process that does it needs it: files by their paths."""

    asked: ProcessRequest
    source_path: str
    kind: str
    encoding: str
    format: str
    folder: str
    model_folder: str | None = None


class Built(BaseModel):
    """What processing wrote into its folder; `card` is what the card says but for the version."""

    card: dict[str, Any]
    splits: dict[str, int]
    bytes: int


class DatasetView(BaseModel):
    """A data set as the documented list shows it, and what more is known of it."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["dataset-0123456789abcdef"])
    name: str
    path: str = Field(examples=["data/processed/sample"])
    created_at: UtcTime
    size_mb: float = Field(examples=[15])
    samples_count: int = Field(examples=[10000])
    description: str = ""
    kind: Literal["raw", "processed"] = "raw"
    format: str = Field("table", description="Which shape of training data its rows have")
    version: int = 1


class DatasetVersion(BaseModel):
    """One processing of a data set; a model points at the one it was trained on."""

    version: int
    created_at: UtcTime
    samples_count: int
    size_mb: float
    splits: dict[str, int]
    source_id: str | None = None


class DatasetDetail(DatasetView):
    """One data set; `card` is that of its newest version."""

    columns: list[str] = []
    file: dict[str, Any] = {}
    bad_rows: dict[str, Any] = {}
    splits: dict[str, int] | None = None
    card: dict[str, Any] | None = None
    versions: list[DatasetVersion] = []


class DatasetStats(BaseModel):
    """What the rows of a data set hold, counted when it was read or made."""

    id: str
    samples_count: int
    format: str
    columns: list[dict[str, Any]] = Field(description="Type, how many are filled, lengths, and values that are few")
    splits: dict[str, Any] | None = Field(None, description="Rows, and lengths in characters or tokens, of each part")
    counts: dict[str, Any] | None = Field(None, description="What was read, left out and written")


class DatasetsQuery(BaseModel):
    """Which data sets: all without a limit, as the documented clients know no pages."""

    limit: int | None = Field(None, ge=1, le=100)
    after: str | None = Field(
        None, max_length=64, pattern=r"^[\w-]*$", description="Id of the last data set of the page before"
    )


class RowsQuery(BaseModel):
    """Which rows of a data set."""

    limit: int = Field(20, ge=1, le=100)
    after: FromZero = Field(0, description="Number of the last row of the page before")
    version: FromOne | None = Field(None, description="Of a processed data set; the newest without")


class DatasetRow(BaseModel):
    number: int = Field(description="From 1")
    split: str | None = None
    row: dict[str, Any]


class DatasetRows(BaseModel):
    """A page of rows; `count` is how many there are in all."""

    rows: list[DatasetRow]
    count: int
    next: int | None = Field(None, description="`after` of the next page; null at the end")


class PageFile(BaseModel):
    """A file of rows; with *every_line* each of its lines is a good row, as in what was made here."""

    path: str
    split: str | None = None
    rows: int | None = None
    every_line: bool = False


class PageRequest(BaseModel):
    """A page of rows as the process that reads it needs it: files in their order."""

    files: list[PageFile]
    kind: str
    encoding: str
    after: int
    limit: int


class DatasetsPage(BaseModel):
    """Data sets, the oldest first; `count` is how many there are in all."""

    datasets: list[DatasetView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


class Processed(BaseModel):
    """What processing made: a version of a data set."""

    id: str
    version: int
    source_id: str
    path: str
    splits: dict[str, int]
    counts: dict[str, Any]
    format: str
    processed_at: UtcTime
