"""Imports wait to be corrected, try out, go to a mailing, and keep their file until its problems are mended."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "import_steps"
down_revision = "engagement_times"
branch_labels = None
depends_on = None

_STATE = sa.Enum(
    "analysing", "waiting", "running", "ended", name="state", native_enum=False, create_constraint=True, length=40
)


def upgrade() -> None:
    op.add_column("import", sa.Column("state", _STATE, server_default="running", nullable=False))
    op.execute(
        "UPDATE import SET state = 'ended' FROM operation AS o "
        "WHERE o.id = operation_id AND o.state NOT IN ('waiting', 'running')"
    )
    for name in ("dry_run", "as_recipients"):
        op.add_column("import", sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("import", sa.Column("mailing_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("import_mailing_id_idx"), "import", ["mailing_id"])
    op.create_foreign_key(
        op.f("import_mailing_id_fkey"), "import", "mailing", ["mailing_id"], ["id"], ondelete="SET NULL"
    )
    json = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("import", sa.Column("options", json, server_default=sa.text("'{}'"), nullable=False))
    op.add_column("import", sa.Column("fault", json, nullable=True))
    op.add_column("import", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("import_problem_row_idx", "import_problem", ["import_id", "row_number"])


def downgrade() -> None:
    op.drop_index("import_problem_row_idx", table_name="import_problem")
    for name in ("expires_at", "fault", "options", "mailing_id", "as_recipients", "dry_run", "state"):
        op.drop_column("import", name)
