"""The ledger without the foreign keys that were checked line by line: nothing they point at is ever deleted."""

from alembic import op

revision = "ledger_speed"
down_revision = "events"
branch_labels = None
depends_on = None

_STATES = ("consent_state", "company_consent_state")


def upgrade() -> None:
    op.drop_constraint(op.f("consent_purpose_fkey"), "consent", type_="foreignkey")
    for table in _STATES:
        op.drop_constraint(op.f(f"{table}_consent_id_fkey"), table, type_="foreignkey")


def downgrade() -> None:
    for table in _STATES:
        op.create_foreign_key(
            op.f(f"{table}_consent_id_fkey"), table, "consent", ["consent_id"], ["id"], ondelete="CASCADE"
        )
    op.create_foreign_key(op.f("consent_purpose_fkey"), "consent", "consent_purpose", ["purpose"], ["key"])
