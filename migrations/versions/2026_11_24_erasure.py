"""Erasure of persons (D78, decision 14): the ledger's free text may be emptied, and what names a person can be found."""

import sqlalchemy as sa
from alembic import op

revision = "erasure"
down_revision = "ledger_speed"
branch_labels = None
depends_on = None

_APPEND_ONLY = """
CREATE OR REPLACE FUNCTION consent_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {exception}
RAISE EXCEPTION 'the consent ledger is append-only: add a line instead' USING ERRCODE = 'restrict_violation';
END $$"""

_UNLESS_ERASING = """
    -- Erasure empties what was written freely and hashes the address; what proves consent never changes.
    IF TG_OP = 'UPDATE' AND current_setting('budstikke.erasing', true) = 'on'
        AND to_jsonb(NEW) - '{source,evidence,email_key}'::text[] = to_jsonb(OLD) - '{source,evidence,email_key}'::text[]
    THEN
        RETURN NEW;
    END IF;"""


def upgrade() -> None:
    op.execute(_APPEND_ONLY.format(exception=_UNLESS_ERASING))
    op.create_index("inbound_message_recipient_id_idx", "inbound_message", ["recipient_id"])
    op.create_index(
        "source_address_email_key_idx",
        "source_address",
        ["email_key"],
        postgresql_where=sa.text("email_key IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("source_address_email_key_idx", table_name="source_address")
    op.drop_index("inbound_message_recipient_id_idx", table_name="inbound_message")
    op.execute(_APPEND_ONLY.format(exception=""))
