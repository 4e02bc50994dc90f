"""Pictures that were uploaded to be described, what was said of them, and what people made of that."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, DateTime, Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base
from services.tables.jobs import Packed


class UploadTable(Base):
    """What the annotator knows of an upload beside its file."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_owner_original_name", "owner", "original_name"),)

    name: Mapped[str] = mapped_column(ForeignKey("files.name", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    original_name: Mapped[str] = mapped_column(String(255))
    content_type: Mapped[str] = mapped_column(String(64))
    size: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(DateTime)


class AnnotationTable(Base):
    """One job of the annotator; its id is the job's."""

    __tablename__ = "annotations"
    __table_args__ = (Index("ix_annotations_owner_created_at", "owner", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    provider: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(256))
    system_prompt: Mapped[str] = mapped_column(Text)
    prompt: Mapped[str] = mapped_column(Text)
    temperature: Mapped[float | None] = mapped_column(Float, default=None)
    format: Mapped[str] = mapped_column(String(16))
    demo: Mapped[bool] = mapped_column(Boolean, default=False)
    input_price: Mapped[float | None] = mapped_column(Float, default=None)
    output_price: Mapped[float | None] = mapped_column(Float, default=None)
    total: Mapped[int]
    output_file: Mapped[str | None] = mapped_column(
        ForeignKey("files.name", ondelete="SET NULL"), default=None, index=True
    )
    output_rows: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime)


class AnnotationRowTable(Base):
    """One picture of an annotation. The file may be gone; its name stays."""

    __tablename__ = "annotation_rows"

    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    asked_name: Mapped[str] = mapped_column(String(255))
    """As the request called the picture; `file_name` is the upload that was meant."""
    file_name: Mapped[str] = mapped_column(String(64))
    original_name: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16), default="pending")
    description: Mapped[str | None] = mapped_column(Text, default=None)
    error: Mapped[Any] = mapped_column(Packed, default=None, nullable=True)
    review: Mapped[str] = mapped_column(String(16), default="pending")
    edited: Mapped[bool] = mapped_column(Boolean, default=False)
    cached: Mapped[bool] = mapped_column(Boolean, default=False)
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime] = mapped_column(DateTime)


class DescriptionTable(Base):
    """Descriptions that were paid for, by whose they are, the picture, the model, the prompts and the temperature."""

    __tablename__ = "descriptions"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime, index=True)
