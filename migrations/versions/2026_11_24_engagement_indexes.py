"""Indexes for criteria about engagement: what happened since a time, and who clicked a link."""

import sqlalchemy as sa
from alembic import op

revision = "engagement_indexes"
down_revision = "erasure"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whoever records events waits while they are built: some seconds for ten million.
    op.create_index(
        "engagement_occurred_idx",
        "engagement",
        ["occurred_at"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.create_index(
        "engagement_link_idx",
        "engagement",
        ["link_id", "recipient_id"],
        postgresql_where=sa.text("link_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("engagement_link_idx", table_name="engagement")
    op.drop_index("engagement_occurred_idx", table_name="engagement")
