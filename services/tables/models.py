"""Models that were made here: trained, or merged of what was trained."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base
from services.tables.jobs import Packed


class TrainedModelTable(Base):
    __tablename__ = "trained_models"
    __table_args__ = (
        UniqueConstraint("owner", "path"),
        Index("ix_trained_models_owner_created_at", "owner", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    openai_name: Mapped[str] = mapped_column(String(300), unique=True)
    """The same model as OpenAI's clients know it: `ft:<base>:<owner>:<suffix>:<id>`."""
    kind: Mapped[str] = mapped_column(String(32))
    job_id: Mapped[str] = mapped_column(String(64), unique=True)
    """A job that is run again after a crash leaves one model all the same."""
    path: Mapped[str] = mapped_column(String(600))
    """What users call it: `models/checkpoints/sample/final`. Two owners may use one path."""
    location: Mapped[str] = mapped_column(String(700), unique=True)
    """Where it lies, below `MODELS_DIR`."""
    engine: Mapped[str] = mapped_column(String(64))
    abilities: Mapped[Any] = mapped_column(Packed, default=list)
    base_model: Mapped[str] = mapped_column(String(256))
    base_revision: Mapped[str] = mapped_column(String(128), default="")
    adapter: Mapped[bool] = mapped_column(Boolean, default=False)
    dataset_id: Mapped[str] = mapped_column(String(64), default="")
    dataset_name: Mapped[str] = mapped_column(String(200), default="")
    dataset_version: Mapped[int | None] = mapped_column(default=None)
    description: Mapped[str] = mapped_column(Text, default="")
    training_config: Mapped[Any] = mapped_column(Packed, default=dict)
    metrics: Mapped[Any] = mapped_column(Packed, default=dict)
    evaluation: Mapped[Any] = mapped_column(Packed, default=dict)
    parity: Mapped[Any] = mapped_column(Packed, default=dict)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    last_used: Mapped[datetime | None] = mapped_column(DateTime, default=None)
    usage_count: Mapped[int] = mapped_column(BigInteger, default=0)
