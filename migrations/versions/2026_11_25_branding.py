"""The branding of the pages, what unsubscribing took away, and requests of fresh links."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "branding"
down_revision = "link_actions"
branch_labels = None
depends_on = None

_AUDIT = "'id', '', '', 'updated_at,version', ''"
_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)
_REASONS = ("too_many", "not_for_me", "never_asked", "other")
_COLOURS = ("background_color", "text_color", "accent_color", "accent_text_color")


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sa.DateTime(timezone=True)
    op.create_table(
        "branding",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sender_name", text(), server_default="", nullable=False),
        *(sa.Column(name, text(), nullable=True) for name in (*_COLOURS, "privacy_url", "logo")),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("updated_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name="branding_is_one"),
        sa.PrimaryKeyConstraint("id", name=op.f("branding_pkey")),
    )
    for name, event, rows in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER audit_{name} AFTER {event} ON branding REFERENCING {rows} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION audit_changes({_AUDIT})"
        )
    op.create_table(
        "branding_logo",
        sa.Column("digest", text(), nullable=False),
        sa.Column("content_type", text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("branding_logo_pkey")),
    )
    op.create_table(
        "leaving",
        sa.Column("recipient_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("left_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("subscription_type_ids", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("everything", sa.Boolean(), nullable=False),
        sa.Column(
            "reason",
            sa.Enum(*_REASONS, name="reason", native_enum=False, create_constraint=True, length=40),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["mailing_id"], ["mailing.id"], name=op.f("leaving_mailing_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("recipient_id", name=op.f("leaving_pkey")),
    )
    op.create_index(op.f("leaving_mailing_id_idx"), "leaving", ["mailing_id"])
    op.create_table(
        "link_request",
        sa.Column("recipient_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("first_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("last_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["mailing_id"], ["mailing.id"], name=op.f("link_request_mailing_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("recipient_id", name=op.f("link_request_pkey")),
    )
    op.create_index(op.f("link_request_mailing_id_idx"), "link_request", ["mailing_id"])


def downgrade() -> None:
    for table in ("link_request", "leaving", "branding_logo", "branding"):
        op.drop_table(table)
