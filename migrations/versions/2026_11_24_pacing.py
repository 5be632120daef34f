"""Limits per mailing and destination, budgets, slowed destinations, and chunks that are kept back (D31, D32)."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "pacing"
down_revision = "mjml"
branch_labels = None
depends_on = None

_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)


def upgrade() -> None:
    op.create_table(
        "destination_limit",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("domain", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("max_per_second", sa.Float(), nullable=True),
        sa.Column("max_per_hour", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="destination_limit_pkey"),
        sa.UniqueConstraint("domain", name="destination_limit_domain_key"),
    )
    for name, event, rows in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER audit_{name} AFTER {event} ON destination_limit REFERENCING {rows} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_changes('id', '', '', '', '')"
        )
    op.create_table(
        "slowed_destination",
        sa.Column("domain", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("cut_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("peak", sa.Float(), nullable=False),
        sa.Column("cuts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("words", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name="slowed_destination_pkey"),
    )
    op.create_table(
        "pace",
        sa.Column("key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("second_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hour_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("used", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("key", name="pace_pkey"),
        postgresql_with={"fillfactor": 50},
    )
    op.add_column("mailing", sa.Column("max_per_hour", sa.Integer(), nullable=True))
    op.add_column("dispatch", sa.Column("rest_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("chunk", sa.Column("destination", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.create_index(
        "chunk_kept_back_idx", "chunk", ["dispatch_id", "number"],
        postgresql_where=sa.text("done_at IS NULL AND destination IS NOT NULL"),
    )  # fmt: skip
    op.add_column("recipient", sa.Column("first_tried_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("recipient", "first_tried_at")
    op.drop_index("chunk_kept_back_idx", table_name="chunk")
    op.drop_column("chunk", "destination")
    op.drop_column("dispatch", "rest_until")
    op.drop_column("mailing", "max_per_hour")
    for table in ("pace", "slowed_destination", "destination_limit"):
        op.drop_table(table)
