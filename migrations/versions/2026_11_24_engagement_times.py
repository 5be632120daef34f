"""An index for criteria about engagement: what happened since a time."""

from alembic import op

revision = "engagement_times"
down_revision = "recipient_filters"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whoever records events waits while it is built: some seconds for ten million.
    op.create_index(
        "engagement_occurred_idx",
        "engagement",
        ["occurred_at"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )


def downgrade() -> None:
    op.drop_index("engagement_occurred_idx", table_name="engagement")
