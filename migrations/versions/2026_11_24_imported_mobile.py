"""Mobile numbers of imported recipients (D17)."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "imported_mobile"
down_revision = "attachments"
branch_labels = depends_on = None


def upgrade() -> None:
    """Add the column, and the index that finds it by an address that is not valid."""
    op.add_column("source_address", sa.Column("mobile", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.create_index(
        "source_address_invalid_idx",
        "source_address",
        ["source_id", "email"],
        postgresql_where=sa.text("email_key IS NULL AND mobile IS NOT NULL"),
    )


def downgrade() -> None:
    """Forget the numbers."""
    op.drop_index("source_address_invalid_idx", table_name="source_address")
    op.drop_column("source_address", "mobile")
