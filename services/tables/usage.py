"""What was used: one row a model call."""

from datetime import datetime

from sqlalchemy import DateTime, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base


class UsageTable(Base):
    __tablename__ = "usage"
    __table_args__ = (Index("ix_usage_owner_created_at", "owner", "created_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTime, index=True)
    owner: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(80))
    ability: Mapped[str] = mapped_column(String(32))
    provider: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(256))
    outcome: Mapped[str] = mapped_column(String(32))
    """`ok`, `client_left`, `restarting`, `cancelled`, or the class of the error."""
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    first_token_ms: Mapped[int | None] = mapped_column(default=None)
    total_ms: Mapped[int] = mapped_column(default=0)
