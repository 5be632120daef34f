"""How far the spools of clicks and opens are drained (decision 27)."""

import sqlalchemy as sa
from alembic import op

revision = "engagement_spool"
down_revision = "link_registered"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "engagement_spool",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("drained", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("owner", name=op.f("engagement_spool_pkey")),
    )


def downgrade() -> None:
    op.drop_table("engagement_spool")
