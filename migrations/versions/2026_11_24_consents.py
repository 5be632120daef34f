"""Consent: all legal bases, since when a state holds, what runs out when; subscription types of a CRM; lines of mailings
by the address of those who are no person, so that blocking an address takes them out at once (D47).
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "consents"
down_revision = "audit_log"
branch_labels = None
depends_on = None

_BASES = ("consent", "contract", "legitimate_interest")
_MORE_BASES = ("legal_obligation", "vital_interests", "public_task")


def _allow_bases(bases: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{basis}'" for basis in bases)
    op.execute("ALTER TABLE consent DROP CONSTRAINT IF EXISTS consent_legal_basis_check")
    op.execute(f"ALTER TABLE consent ADD CONSTRAINT consent_legal_basis_check CHECK (legal_basis IN ({listed}))")


def upgrade() -> None:
    _allow_bases(_BASES + _MORE_BASES)
    for table in ("consent_state", "company_consent_state"):
        op.add_column(
            table, sa.Column("valid_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
        )
        op.execute(f"UPDATE {table} AS s SET valid_from = c.valid_from FROM consent AS c WHERE c.id = s.consent_id")
    op.drop_index("consent_state_valid_until_idx", table_name="consent_state")
    for name, table, condition in (
        ("consent_state_valid_until_idx", "consent_state", "given AND valid_until IS NOT NULL"),
        ("consent_state_expired_idx", "consent_state", "NOT given AND valid_until IS NOT NULL"),
        ("company_consent_state_valid_until_idx", "company_consent_state", "given AND valid_until IS NOT NULL"),
    ):
        owner = "person_id" if table == "consent_state" else "company_id"
        op.create_index(name, table, ["purpose", "valid_until", owner], postgresql_where=sa.text(condition))
    op.add_column("subscription_type", sa.Column("external_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.create_unique_constraint(op.f("subscription_type_external_id_key"), "subscription_type", ["external_id"])
    op.create_index("recipient_stranger_idx", "recipient", ["email_key"], postgresql_where=sa.text("person_id IS NULL"))


def downgrade() -> None:
    # The ledger is append-only, so the longer list of legal bases stays allowed.
    op.drop_index("recipient_stranger_idx", table_name="recipient")
    op.drop_constraint(op.f("subscription_type_external_id_key"), "subscription_type", type_="unique")
    op.drop_column("subscription_type", "external_id")
    op.drop_index("company_consent_state_valid_until_idx", table_name="company_consent_state")
    op.drop_index("consent_state_expired_idx", table_name="consent_state")
    op.drop_index("consent_state_valid_until_idx", table_name="consent_state")
    op.create_index(
        "consent_state_valid_until_idx",
        "consent_state",
        ["valid_until"],
        postgresql_where=sa.text("given AND valid_until IS NOT NULL"),
    )
    for table in ("company_consent_state", "consent_state"):
        op.drop_column(table, "valid_from")
