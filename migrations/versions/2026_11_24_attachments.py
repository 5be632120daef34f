"""Attachments of mailings; their octets are stored files, which copies of a mailing share."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "attachments"
down_revision = "sending_accounts"
branch_labels = None
depends_on = None

_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)


def upgrade() -> None:
    op.create_table(
        "attachment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("content_type", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(
            ["mailing_id"], ["mailing.id"], name=op.f("attachment_mailing_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["stored_file.id"], name=op.f("attachment_file_id_fkey"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("attachment_pkey")),
    )
    op.create_index("attachment_content_id_key", "attachment", ["mailing_id", "content_id"], unique=True)
    op.create_index("attachment_mailing_id_idx", "attachment", ["mailing_id", "id"])
    op.create_index(op.f("attachment_file_id_idx"), "attachment", ["file_id"])
    for name, event, rows in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER audit_{name} AFTER {event} ON attachment REFERENCING {rows} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_changes('id', '', '', '', '')"
        )


def downgrade() -> None:
    # The files themselves go, too: nothing else refers to them, and nobody could find them any more.
    op.execute("CREATE TEMPORARY TABLE attached ON COMMIT DROP AS SELECT DISTINCT file_id FROM attachment")
    op.drop_table("attachment")
    op.execute("DELETE FROM stored_file WHERE id IN (SELECT file_id FROM attached)")
