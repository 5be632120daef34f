"""Sending domains and DKIM keys (D6)."""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "sending_domains"
down_revision = "trigger_joins"
branch_labels = None
depends_on = None

# table: columns left out of the audit log: secrets, and what each check writes anew
AUDITED = {
    "sending_domain": "findings,checked_at,check_due_at",
    "dkim_key": "private_key,seen_at",
}
_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)

_TYPES = (
    "person.created", "person.updated", "person.deleted", "person.erased", "consent.given", "consent.withdrawn",
    "consent.expired", "subscription.changed", "address.blocked", "address.unblocked", "import.finished",
)  # fmt: skip
_NEW_TYPE = "sending_domain.changed"

_EVENT = """
CREATE FUNCTION event_of_sending_domain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event (type, data) VALUES ('sending_domain.changed', jsonb_build_object(
        'sending_domain_id', NEW.id, 'domain', NEW.domain, 'verdict', NEW.verdict, 'approved', NEW.approved,
        'before', jsonb_build_object('verdict', OLD.verdict, 'approved', OLD.approved)));
    RETURN NULL;
END $$"""

_EVENT_TRIGGER = """
CREATE TRIGGER event_sending_domain AFTER UPDATE ON sending_domain FOR EACH ROW
WHEN (OLD.verdict IS DISTINCT FROM NEW.verdict OR OLD.approved IS DISTINCT FROM NEW.approved)
EXECUTE FUNCTION event_of_sending_domain()"""


def _check_types(types: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("event_type_check"), "event", type_="check")
    listed = ", ".join(f"'{name}'" for name in types)
    op.create_check_constraint("type", "event", sa.text(f"type IN ({listed})"))


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)


def upgrade() -> None:
    op.create_table(
        "sending_domain",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("domain", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("display", sqlmodel.sql.sqltypes.AutoString(), server_default="", nullable=False),
        sa.Column("trusted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column(
            "verdict", _choice("verdict", "unchecked", "passing", "failing"), server_default="unchecked", nullable=False
        ),
        sa.Column("approved", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("findings", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("sending_domain_pkey")),
        sa.UniqueConstraint("domain", name=op.f("sending_domain_domain_key")),
    )
    op.create_table(
        "dkim_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("domain_id", sa.BigInteger(), nullable=False),
        sa.Column("selector", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("algorithm", _choice("algorithm", "rsa", "ed25519"), nullable=False),
        sa.Column(
            "state",
            _choice("state", "pending", "active", "retiring", "retired"),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("public_key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["sending_domain.id"], name=op.f("dkim_key_domain_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dkim_key_pkey")),
        sa.UniqueConstraint("domain_id", "selector", name=op.f("dkim_key_domain_id_selector_key")),
    )
    for table, left_out in AUDITED.items():
        for name, event, rows in _TRIGGERS:
            op.execute(
                f"CREATE TRIGGER audit_{name} AFTER {event} ON {table} REFERENCING {rows} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION audit_changes('id', '', '', '{left_out}', '')"
            )
    _check_types((*_TYPES, _NEW_TYPE))
    op.execute(_EVENT)
    op.execute(_EVENT_TRIGGER)


def downgrade() -> None:
    op.drop_table("dkim_key")
    op.drop_table("sending_domain")
    op.execute("DROP FUNCTION event_of_sending_domain()")
    op.execute(f"DELETE FROM event WHERE type = '{_NEW_TYPE}'")
    _check_types(_TYPES)
