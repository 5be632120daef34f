"""Mailings may have a honeypot link (D45): one that no person sees, so that whoever follows it is a machine."""

import sqlalchemy as sa
from alembic import op

revision = "honeypot_link"
down_revision = "link_library"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mailing", sa.Column("honeypot_link", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("mailing", "honeypot_link")
