"""${message}

How to be safe: add columns nullable or with a constant default; create indexes CONCURRENTLY in a migration of their
own; never rewrite a big table in one statement; what the running version still reads is dropped one release later.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
