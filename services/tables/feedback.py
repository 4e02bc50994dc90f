"""What people thought of answers."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base
from services.tables.jobs import Packed


class FeedbackTable(Base):
    __tablename__ = "feedback"
    __table_args__ = (Index("ix_feedback_owner_created_at", "owner", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    rating: Mapped[str | None] = mapped_column(String(8), default=None)
    correction: Mapped[str | None] = mapped_column(Text, default=None)
    answer: Mapped[str] = mapped_column(Text, default="")
    messages: Mapped[Any] = mapped_column(Packed, default=list)
    file: Mapped[str] = mapped_column(String(255), default="")
    annotation_id: Mapped[str | None] = mapped_column(String(64), default=None)
    row: Mapped[int | None] = mapped_column(default=None)
    model: Mapped[str] = mapped_column(String(256), default="")
    comment: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(DateTime)
