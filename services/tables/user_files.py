"""What came in at OpenAI's doors: files, and trainings in the words in which they were asked for."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base
from services.tables.jobs import Packed


class UserFileTable(Base):
    __tablename__ = "user_files"
    __table_args__ = (Index("ix_user_files_owner_created_at", "owner", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    filename: Mapped[str] = mapped_column(String(1000))
    purpose: Mapped[str] = mapped_column(String(32))
    media_type: Mapped[str] = mapped_column(String(128))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    kept: Mapped[str | None] = mapped_column(String(64), default=None, index=True)
    """The kept upload that holds it; None for what became a data set."""
    job_id: Mapped[str | None] = mapped_column(String(64), default=None, unique=True)
    """The job that made a data set of it; the data set knows its job."""
    created_at: Mapped[datetime] = mapped_column(DateTime)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime, default=None)


class FineTuningTable(Base):
    """What a training was asked for at `/v1/fine_tuning/jobs`; the training itself is a job like any other."""

    __tablename__ = "fine_tunings"
    __table_args__ = (Index("ix_fine_tunings_owner_created_at", "owner", "created_at"),)

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    training_file: Mapped[str] = mapped_column(String(512), default="")
    validation_file: Mapped[str | None] = mapped_column(String(512), default=None)
    hyperparameters: Mapped[Any] = mapped_column(Packed, default=dict)
    labels: Mapped[Any] = mapped_column(Packed, default=dict)
    """OpenAI's `metadata`, a name that SQLAlchemy has taken."""
    paused: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether it was paused rather than cancelled when it was last stopped."""
    created_at: Mapped[datetime] = mapped_column(DateTime)
