"""The hash of an erased address (D78), for statements that ask whether an address was erased.

Its key comes with the connection (`Database.connect`), not from a table: a stolen backup of the database tells nobody
which addresses are in it, though addresses can be guessed.
"""

from alembic import op

revision = "erased_hash"
down_revision = "audience"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
CREATE FUNCTION erased_hash(email_key text) RETURNS bytea LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
DECLARE
    hash_key text := current_setting('budstikke.erasure_key', true);
BEGIN
    -- Without a key each address would have a hash of no meaning, and mail would go to persons who were erased.
    IF coalesce(length(hash_key), 0) < 32 THEN
        RAISE EXCEPTION 'this connection has no budstikke.erasure_key'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Open connections with Database.connect, or SET budstikke.erasure_key first.';
    END IF;
    RETURN sha256(decode(hash_key, 'hex') || convert_to(email_key, 'UTF8'));
END $$""")


def downgrade() -> None:
    op.execute("DROP FUNCTION erased_hash(text)")
