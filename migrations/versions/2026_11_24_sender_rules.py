"""Rules for From and Reply-To (D5)."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "sender_rules"
down_revision = "erasure_search"
branch_labels = None
depends_on = None

_CONTACTS = ("our_contact", "support_contact")


def _rule(name: str, *values: str) -> sa.Column[str]:
    kind = sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)
    return sa.Column(name, kind, server_default=values[0], nullable=False)


def upgrade() -> None:
    op.add_column("mailing", _rule("from_rule", "always", *_CONTACTS))
    op.add_column("mailing", _rule("reply_to_rule", "use_from", "always", *_CONTACTS))
    text = sqlmodel.sql.sqltypes.AutoString()
    op.add_column("mailing", sa.Column("reply_to_name", text, server_default="", nullable=False))
    op.execute("UPDATE mailing SET reply_to = NULL WHERE reply_to = ''")
    op.execute("UPDATE mailing SET reply_to_rule = 'always' WHERE reply_to IS NOT NULL")


def downgrade() -> None:
    op.drop_column("mailing", "reply_to_name")
    op.drop_column("mailing", "reply_to_rule")
    op.drop_column("mailing", "from_rule")
