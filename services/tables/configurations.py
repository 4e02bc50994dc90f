"""Providers that users configured: a key, a base URL and a model under a name."""

from datetime import datetime

from sqlalchemy import DateTime, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base


class ConfigurationTable(Base):
    __tablename__ = "configurations"
    __table_args__ = (
        Index("ix_configurations_owner_created_at", "owner", "created_at"),
        # The database itself keeps it at one active configuration for each user and provider: by the partial index
        # uq_configurations_active of migration 0001, which said here would load PostgreSQL's dialect at every start.
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(100))
    provider: Mapped[str] = mapped_column(String(32))
    """As the user wrote it: `qwen` stays `qwen`."""
    vendor: Mapped[str] = mapped_column(String(32))
    """The provider's one name: `dashscope` for `qwen`."""
    api_key: Mapped[str] = mapped_column(String(4096), default="")
    """Sealed by `services/encryption.py`; empty where there is none."""
    model: Mapped[str] = mapped_column(String(256), default="")
    base_url: Mapped[str] = mapped_column(String(2048), default="")
    is_active: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    updated_at: Mapped[datetime] = mapped_column(DateTime)
