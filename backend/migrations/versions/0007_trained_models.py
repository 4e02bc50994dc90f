"""Models that were made here

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trained_models",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("openai_name", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=600), nullable=False),
        sa.Column("location", sa.String(length=700), nullable=False),
        sa.Column("engine", sa.String(length=64), nullable=False),
        sa.Column("abilities", sa.Text(), nullable=False),
        sa.Column("base_model", sa.String(length=256), nullable=False),
        sa.Column("base_revision", sa.String(length=128), nullable=False),
        sa.Column("adapter", sa.Boolean(), nullable=False),
        sa.Column("dataset_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_name", sa.String(length=200), nullable=False),
        sa.Column("dataset_version", sa.Integer(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("training_config", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("evaluation", sa.Text(), nullable=False),
        sa.Column("parity", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("last_used", sa.DateTime(), nullable=True),
        sa.Column("usage_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trained_models")),
        sa.UniqueConstraint("job_id", name=op.f("uq_trained_models_job_id")),
        sa.UniqueConstraint("location", name=op.f("uq_trained_models_location")),
        sa.UniqueConstraint("openai_name", name=op.f("uq_trained_models_openai_name")),
        sa.UniqueConstraint("owner", "path", name=op.f("uq_trained_models_owner")),
    )
    with op.batch_alter_table("trained_models") as table:
        table.create_index("ix_trained_models_owner_created_at", ["owner", "created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("trained_models")
