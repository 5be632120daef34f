"""Outcomes of a link's actions are counted in an index alone."""

from alembic import op

revision = "action_outcomes"
down_revision = "engagement_spool"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("action_run_outcomes_idx", "action_run", ["library_link_id", "action_id", "kind", "state"])


def downgrade() -> None:
    op.drop_index("action_run_outcomes_idx", table_name="action_run")
