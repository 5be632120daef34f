"""Blocked addresses by their reason: the list's filter and sort order."""

from alembic import op

revision = "blocked_registry"
down_revision = "extra_names"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("blocked_address_reason_idx", "blocked_address", ["reason", "id"])


def downgrade() -> None:
    op.drop_index("blocked_address_reason_idx", table_name="blocked_address")
