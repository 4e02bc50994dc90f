"""Pictures that were made: what was asked and what came of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base


class HistoryTable(Base):
    __tablename__ = "chat_history"
    __table_args__ = (Index("ix_chat_history_owner_timestamp", "owner", "timestamp"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    prompt: Mapped[str] = mapped_column(Text)
    image_urls: Mapped[list[str]] = mapped_column(JSON, default=list)
    timestamp: Mapped[datetime] = mapped_column(DateTime)
    model: Mapped[str] = mapped_column(String(256), default="")
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Everything that a replay needs beside prompt and model: the seed above all."""
    provider: Mapped[str] = mapped_column(String(64), default="")
    job_id: Mapped[str | None] = mapped_column(String(64), default=None, unique=True)
    """A job that is run again after a crash leaves one row all the same."""


class HistoryFileTable(Base):
    """Which rows show which files, to be asked by the file: what no other row shows goes with its row."""

    __tablename__ = "chat_history_files"

    history_id: Mapped[str] = mapped_column(ForeignKey("chat_history.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str] = mapped_column(String(512), primary_key=True, index=True)
