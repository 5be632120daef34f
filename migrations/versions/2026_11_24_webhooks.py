"""Webhooks and their deliveries (D77)."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "webhooks"
down_revision = "import_steps"
branch_labels = None
depends_on = None

_AUDIT = "'id', '', '', 'secret_salt,last_seq', ''"
_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("url", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("description", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("types", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("secret_salt", sa.LargeBinary(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_pkey")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "waiting", "delivered", "failed", name="state", native_enum=False, create_constraint=True, length=40
            ),
            server_default="waiting",
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name=op.f("webhook_delivery_webhook_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name=op.f("webhook_delivery_event_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_delivery_pkey")),
    )
    op.create_index(op.f("webhook_delivery_event_id_idx"), "webhook_delivery", ["event_id"])
    op.create_index("webhook_delivery_list_idx", "webhook_delivery", ["webhook_id", "id"])
    op.create_index(
        "webhook_delivery_due_idx", "webhook_delivery", ["due_at"], postgresql_where=sa.text("state = 'waiting'")
    )
    for name, event, rows in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER audit_{name} AFTER {event} ON webhook REFERENCING {rows} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION audit_changes({_AUDIT})"
        )


def downgrade() -> None:
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
