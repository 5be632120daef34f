"""The link library (D36): links that many mailings refer to; a mailing's links know which they come from.

A link may be a honeypot: invisible to people, so that whoever follows it is a machine (D45).
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "link_library"
down_revision = "pacing"
branch_labels = None
depends_on = None

_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)


def upgrade() -> None:
    op.create_table(
        "library_link",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("description", sqlmodel.sql.sqltypes.AutoString(), server_default="", nullable=False),
        sa.Column("folder_id", sa.BigInteger(), nullable=True),
        sa.Column("target", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("target_key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folder.id"], name=op.f("library_link_folder_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("library_link_pkey")),
    )
    op.create_index(op.f("library_link_folder_id_idx"), "library_link", ["folder_id"])
    op.create_index(op.f("library_link_target_key_idx"), "library_link", ["target_key"])
    for name, event, rows in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER audit_{name} AFTER {event} ON library_link REFERENCING {rows} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_changes('id', '', '', 'updated_at,version,target_key', '')"
        )
    op.add_column("link", sa.Column("library_link_id", sa.BigInteger(), nullable=True))
    op.add_column("link", sa.Column("honeypot", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_foreign_key(
        op.f("link_library_link_id_fkey"), "link", "library_link", ["library_link_id"], ["id"], ondelete="SET NULL"
    )
    op.create_index(
        "link_library_link_idx", "link", ["library_link_id"], postgresql_where=sa.text("library_link_id IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("link_library_link_idx", table_name="link")
    op.drop_constraint(op.f("link_library_link_id_fkey"), "link", type_="foreignkey")
    op.drop_column("link", "honeypot")
    op.drop_column("link", "library_link_id")
    op.drop_table("library_link")
