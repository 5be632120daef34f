"""Sending accounts (issue 4): SMTP servers by name, how they fare, and which of them a mailing goes through."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "sending_accounts"
down_revision = "schedules"
branch_labels = None
depends_on = None

_AUDIT = "'id', '', '', 'password_sealed', ''"
_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)


def upgrade() -> None:
    text = sqlmodel.sql.sqltypes.AutoString
    op.create_table(
        "sending_account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("name", text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("host", text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("security", _choice("security", "none", "starttls", "tls"), nullable=False),
        sa.Column("verify_certificate", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column(
            "auth", _choice("auth", "auto", "plain", "login", "cram_md5", "xoauth2"), server_default="auto",
            nullable=False,
        ),
        sa.Column("username", text(), nullable=True),
        sa.Column("password_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("password_set_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("local_hostname", text(), nullable=True),
        sa.Column("pipelining", _choice("pipelining", "full", "envelope", "off"), nullable=True),
        sa.Column("connections", sa.Integer(), server_default="20", nullable=False),
        sa.Column("max_messages", sa.Integer(), nullable=True),
        sa.Column("weight", sa.Integer(), server_default="1", nullable=False),
        sa.Column("from_domains", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("max_per_second", sa.Float(), nullable=True),
        sa.Column("max_per_hour", sa.Integer(), nullable=True),
        sa.Column("max_per_day", sa.Integer(), nullable=True),
        sa.Column("warm_up_from", sa.Date(), nullable=True),
        sa.Column("warm_up_first_day", sa.Integer(), nullable=True),
        sa.Column("warm_up_growth", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("sending_account_pkey")),
        sa.UniqueConstraint("name", name=op.f("sending_account_name_key")),
    )  # fmt: skip
    op.create_table(
        "sending_account_health",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_fault", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("words", text(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("step", _choice("step", "full", "envelope", "off"), nullable=True),
        sa.Column("step_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("step_words", text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["sending_account.id"], name=op.f("sending_account_health_account_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("sending_account_health_pkey")),
    )  # fmt: skip
    for name, event, rows in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER audit_{name} AFTER {event} ON sending_account REFERENCING {rows} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION audit_changes({_AUDIT})"
        )
    op.add_column("mailing", sa.Column("sending_account_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("mailing_sending_account_id_fkey"), "mailing", "sending_account", ["sending_account_id"], ["id"],
        ondelete="SET NULL",
    )  # fmt: skip
    op.create_index(op.f("mailing_sending_account_id_idx"), "mailing", ["sending_account_id"])


def downgrade() -> None:
    op.drop_column("mailing", "sending_account_id")
    op.drop_table("sending_account_health")
    op.drop_table("sending_account")
