"""Files and trainings as OpenAI's clients know them

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user_files",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("filename", sa.String(length=1000), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("media_type", sa.String(length=128), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.String(length=64), nullable=True),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_files")),
        sa.UniqueConstraint("job_id", name=op.f("uq_user_files_job_id")),
    )
    with op.batch_alter_table("user_files") as table:
        table.create_index("ix_user_files_owner_created_at", ["owner", "created_at"], unique=False)
        table.create_index(op.f("ix_user_files_kept"), ["kept"], unique=False)
    op.create_table(
        "fine_tunings",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("training_file", sa.String(length=512), nullable=False),
        sa.Column("validation_file", sa.String(length=512), nullable=True),
        sa.Column("hyperparameters", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_fine_tunings")),
    )
    with op.batch_alter_table("fine_tunings") as table:
        table.create_index("ix_fine_tunings_owner_created_at", ["owner", "created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("fine_tunings")
    op.drop_table("user_files")
