"""The models with a local path, in system 5's words: those that were made here, and those that are installed."""

from pydantic import BaseModel, Field

from services.contracts.training import TrainedModelView


class LocalModelsPage(BaseModel):
    """Models, the newest first; `count` is the total, `next` what the next page begins `after`."""

    models: list[TrainedModelView]
    count: int
    next: str | None = None


class UnloadRequest(BaseModel):
    """Models that shall not stay in memory, by their ids."""

    models: list[str]


class UnloadResult(BaseModel):
    """Which of them were unloaded; the others were not loaded or are in use."""

    unloaded: list[str] = Field(default_factory=list)
