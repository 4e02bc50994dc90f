"""Persons whose faces are known

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "faces",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_faces")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_faces_owner")),
    )
    op.create_index("ix_faces_owner_created_at", "faces", ["owner", "created_at"])
    op.create_table(
        "face_photos",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("face_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.Column("file", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["face_id"], ["faces.id"], name=op.f("fk_face_photos_face_id_faces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_face_photos")),
        sa.UniqueConstraint("owner", "model", "version", name=op.f("uq_face_photos_owner")),
    )
    op.create_index(op.f("ix_face_photos_face_id"), "face_photos", ["face_id"])
    op.create_table(
        "face_indexes",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("removals", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "model", name=op.f("pk_face_indexes")),
    )


def downgrade() -> None:
    op.drop_table("face_indexes")
    op.drop_table("face_photos")
    op.drop_table("faces")
