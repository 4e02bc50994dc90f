"""Files that users keep here for other requests: to train with, to look at, or to have at hand."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from services.contracts.times import UtcTime

# `fine-tune` becomes a data set; `vision` is a picture; the others are kept as they are.
FilePurpose = Literal["fine-tune", "batch", "vision", "user_data", "assistants", "evals"]
FileStatus = Literal["uploaded", "processed", "error"]
MOST_FILES = 10_000
SOONEST_SECONDS, LATEST_SECONDS = 3600, 30 * 24 * 3600


class NewFile(BaseModel):
    """A file that has landed; it is kept, or a job makes a data set of it."""

    filename: str
    purpose: FilePurpose
    media_type: str
    size_bytes: int
    kept: str | None = None
    job_id: str | None = None
    expires_at: datetime | None = None


class UserFile(BaseModel):
    """One file as its owner sees it; `error` is packed as `compute/wire.py` does."""

    id: str
    owner: str
    filename: str
    purpose: FilePurpose
    media_type: str
    size_bytes: int
    status: FileStatus
    error: dict[str, Any] | None = None
    kept: str | None = None
    """The name of the kept upload that holds it, of what is no data set."""
    job_id: str | None = None
    dataset_id: str | None = None
    created_at: UtcTime
    expires_at: UtcTime | None = None


class UserFilesQuery(BaseModel):
    """Which files to list, the newest first unless `order` says otherwise."""

    purpose: FilePurpose | None = None
    limit: int = Field(MOST_FILES, ge=1, le=MOST_FILES)
    after: str | None = Field(None, max_length=256, description="The `last_id` of the page before")
    order: Literal["asc", "desc"] = "desc"
