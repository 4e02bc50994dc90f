"""Data sets: files that were uploaded, and what was made of them, in versions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base
from services.tables.jobs import Packed


class DatasetTable(Base):
    __tablename__ = "datasets"
    __table_args__ = (
        UniqueConstraint("owner", "path"),
        Index("ix_datasets_owner_created_at", "owner", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    kind: Mapped[str] = mapped_column(String(16))
    """`raw` is a file as it was sent, `processed` a folder with versions."""
    path: Mapped[str] = mapped_column(String(300))
    """What users call it: `data/raw/x.json`, `data/processed/x`. Two owners may use one path."""
    location: Mapped[str] = mapped_column(String(300), unique=True)
    """Where it lies, below `DATA_DIR`."""
    version: Mapped[int] = mapped_column(default=1)
    """The newest whole one; 0 while the first is not written."""
    taken_version: Mapped[int] = mapped_column(default=1)
    """The highest number that somebody has taken for a version in the making."""
    format: Mapped[str] = mapped_column(String(32))
    file_kind: Mapped[str] = mapped_column(String(16))
    encoding: Mapped[str] = mapped_column(String(16), default="utf-8")
    sha256: Mapped[str] = mapped_column(String(64), default="")
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    columns: Mapped[Any] = mapped_column(Packed, default=list)
    bad_rows: Mapped[Any] = mapped_column(Packed, default=dict)
    job_id: Mapped[str | None] = mapped_column(String(64), default=None, unique=True)
    """A job that is run again after a crash leaves one data set all the same."""
    created_at: Mapped[datetime] = mapped_column(DateTime)


class DatasetVersionTable(Base):
    __tablename__ = "dataset_versions"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source_id: Mapped[str] = mapped_column(String(64), default="")
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    splits: Mapped[Any] = mapped_column(Packed, default=dict)
    card: Mapped[Any] = mapped_column(Packed, default=dict)
    job_id: Mapped[str | None] = mapped_column(String(64), default=None, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime)
