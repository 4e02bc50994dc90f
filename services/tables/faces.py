"""Persons whose faces are known, and what was measured of each photo of them."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base


class FaceTable(Base):
    """A person, as one owner knows them."""

    __tablename__ = "faces"
    __table_args__ = (UniqueConstraint("owner", "name"), Index("ix_faces_owner_created_at", "owner", "created_at"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(DateTime)


class FacePhotoTable(Base):
    """What one model measured of one photo. Embeddings of two models have nothing to do with each other."""

    __tablename__ = "face_photos"
    __table_args__ = (UniqueConstraint("owner", "model", "version"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    face_id: Mapped[str] = mapped_column(ForeignKey("faces.id", ondelete="CASCADE"), index=True)
    owner: Mapped[str] = mapped_column(String(64))
    """The person's, here too: a search loads all that one owner has by one index."""
    model: Mapped[str] = mapped_column(String(256))
    """The catalog's id and the revision of the weights."""
    version: Mapped[int] = mapped_column(BigInteger)
    """The version of the owner's index that this photo made."""
    embedding: Mapped[bytes] = mapped_column(LargeBinary)
    """Float32, little endian."""
    file: Mapped[str | None] = mapped_column(String(64), default=None)
    """The photo itself, where the operator keeps them."""
    created_at: Mapped[datetime] = mapped_column(DateTime)


class FaceIndexTable(Base):
    """How new an index in memory must be: it reads the photos since its version, and the removals since its own."""

    __tablename__ = "face_indexes"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(256), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    removals: Mapped[int] = mapped_column(BigInteger, default=0)


class FaceRemovalTable(Base):
    """Which photos went in a removal, by their versions: numbers that say nothing of anybody. Old ones go too."""

    __tablename__ = "face_removals"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(256), primary_key=True)
    removal: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
