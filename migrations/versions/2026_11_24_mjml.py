"""Templates and mailings keep the MJML they were written in, beside the HTML it compiles to."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "mjml"
down_revision = "sender_rules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("template", "mailing"):
        op.add_column(table, sa.Column("mjml", sqlmodel.sql.sqltypes.AutoString(), nullable=True))


def downgrade() -> None:
    for table in ("mailing", "template"):
        op.drop_column(table, "mjml")
