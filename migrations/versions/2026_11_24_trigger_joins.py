"""Triggers that compare the rows of a bulk update may join them by hash, whatever the statement was told.

A bulk write keeps the planner from hash joins, since it finds rows by key (contacts/matching_queries). Without them the
triggers compared every old row with every new one: 74 of the 140 us that an updated person cost in batches of 1 000.
"""

from alembic import op

revision = "trigger_joins"
down_revision = "webhooks"
branch_labels = None
depends_on = None

_FUNCTIONS = ("event_of_person", "audit_changes")


def upgrade() -> None:
    for function in _FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function}() SET enable_hashjoin = on")


def downgrade() -> None:
    for function in _FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function}() RESET enable_hashjoin")
