"""What files are searched for after an erasure (D78)."""

import sqlalchemy as sa
from alembic import op

revision = "erasure_search"
down_revision = "imported_mobile"
branch_labels = depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "erasure_search",
        sa.Column("operation_id", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operation.id"], name=op.f("erasure_search_operation_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("erasure_search_pkey")),
    )


def downgrade() -> None:
    """Forget the searches that are under way."""
    op.drop_table("erasure_search")
