"""Lines of companies are found by company; lists can be exported to files.

The index is on a column that never changes once a line is there, so results stay HOT updates; and it leaves out the
lines of persons, so that populating a list from a selection pays nothing for it.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "recipient_filters"
down_revision = "erasure"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "recipient_company_idx",
        "recipient",
        ["company_id"],
        postgresql_where=sa.text("company_id IS NOT NULL"),
    )
    op.create_table(
        "recipient_export",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", sa.BigInteger(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=True),
        sa.Column("format", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column(
            "filter", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operation.id"], name=op.f("recipient_export_operation_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["stored_file.id"], name=op.f("recipient_export_file_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("recipient_export_pkey")),
    )
    op.create_index(op.f("recipient_export_operation_id_idx"), "recipient_export", ["operation_id"], unique=False)
    op.create_index(op.f("recipient_export_file_id_idx"), "recipient_export", ["file_id"], unique=False)
    op.create_index(op.f("recipient_export_expires_at_idx"), "recipient_export", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_table("recipient_export")
    op.drop_index("recipient_company_idx", table_name="recipient")
