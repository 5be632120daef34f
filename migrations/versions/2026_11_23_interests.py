"""Interests, and who has them."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "interests"
down_revision = "tallies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interest",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("interest_pkey")),
        sa.UniqueConstraint("name", name=op.f("interest_name_key")),
    )
    op.create_table(
        "person_interest",
        sa.Column("interest_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["interest_id"], ["interest.id"], name=op.f("person_interest_interest_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("person_interest_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("interest_id", "person_id", name=op.f("person_interest_pkey")),
    )
    op.create_index(op.f("person_interest_person_id_idx"), "person_interest", ["person_id"], unique=False)


def downgrade() -> None:
    op.drop_table("person_interest")
    op.drop_table("interest")
