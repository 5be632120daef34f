"""Links of a mailing are told apart by the library link they were registered for, and say when that was last (D41).

A draft's link that becomes one of the library's is another link then: what is in memory about a link stays true.
"""

import sqlalchemy as sa
from alembic import op

revision = "link_registered"
down_revision = "branding"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("registered_as", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "link",
        sa.Column("registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.execute("UPDATE link SET registered_as = CASE WHEN honeypot THEN -1 ELSE library_link_id END "
               "WHERE honeypot OR library_link_id IS NOT NULL")  # fmt: skip
    op.drop_index("link_target_idx", table_name="link")
    op.create_index(
        "link_target_idx",
        "link",
        ["mailing_id", "position", sa.literal_column("md5(target)"), "registered_as"],
        unique=True,
    )


def downgrade() -> None:
    op.drop_index("link_target_idx", table_name="link")
    op.drop_column("link", "registered_at")
    op.drop_column("link", "registered_as")
    # Of what was the same link before there was a library, the one that was sent, else the first, keeps its place.
    op.execute(
        "UPDATE link AS l SET position = position + 1000000 * rank FROM ("
        "  SELECT id, row_number() OVER (PARTITION BY mailing_id, position, md5(target) ORDER BY frozen DESC, id) - 1 AS rank"
        "  FROM link) AS r WHERE r.id = l.id AND rank > 0"
    )
    op.create_index(
        "link_target_idx", "link", ["mailing_id", "position", sa.literal_column("md5(target)")], unique=True
    )
