"""Resets of counters have entries of their own in the audit log (D44)."""

from alembic import op

revision = "audit_reset"
down_revision = "clickers"
branch_labels = None
depends_on = None


def _allow(*actions: str) -> None:
    names = ", ".join(f"'{action}'" for action in actions)
    op.execute(
        "ALTER TABLE audit_log DROP CONSTRAINT audit_log_action_check,"
        f" ADD CONSTRAINT audit_log_action_check CHECK (action IN ({names}))"
    )


def upgrade() -> None:
    _allow("created", "changed", "deleted", "erased", "reset")


def downgrade() -> None:
    op.execute("DELETE FROM audit_log WHERE action = 'reset'")
    _allow("created", "changed", "deleted", "erased")
