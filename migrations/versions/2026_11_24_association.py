"""At most one associated source for each mailing (D19), and drafts that fall behind when what they rest on is deleted.

A trigger marks them, whichever code path deletes: a draft's list never keeps a person who is gone, or whom only a
deleted selection brought. The job that follows brings it up to date; a mailing that is sent before evaluates its
sources again, since its list is behind.
"""

import sqlalchemy as sa
from alembic import op

revision = "association"
down_revision = "erased_hash"
branch_labels = None
depends_on = None

TABLES = ("selection", "project", "person", "company")

# BEFORE, since the sources' foreign keys are set to null right after. The mailings go in key order, so that two
# deletions never wait for each other in a circle.
_FUNCTION = """
CREATE FUNCTION drafts_fall_behind() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mailings bigint[];
    told bigint;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'selection' THEN
            SELECT array_agg(mailing_id) INTO mailings FROM mailing_source WHERE selection_id = OLD.id;
        WHEN 'project' THEN
            SELECT array_agg(mailing_id) INTO mailings FROM mailing_source WHERE project_id = OLD.id;
        WHEN 'company' THEN
            -- Companies come with persons and selections, too: it may be on any draft that has companies.
            SELECT array_agg(id) INTO mailings FROM (
                SELECT mailing_id AS id FROM mailing_source WHERE company_id = OLD.id
                UNION SELECT id FROM mailing WHERE state = 'draft' AND include_companies
            ) AS resting;
        WHEN 'person' THEN
            SELECT array_agg(mailing_id) INTO mailings FROM (
                SELECT mailing_id FROM mailing_source WHERE person_id = OLD.id
                UNION SELECT mailing_id FROM recipient WHERE person_id = OLD.id AND status IN ('ready', 'blocked')
            ) AS resting;
    END CASE;
    IF mailings IS NOT NULL THEN
        WITH draft AS (
            -- One that is behind already has its job, or is evaluated when it is sent.
            SELECT id FROM mailing WHERE id = ANY (mailings) AND state = 'draft' AND list_updated_at IS NOT NULL
            ORDER BY id FOR NO KEY UPDATE
        ), marked AS (
            UPDATE mailing AS m SET list_updated_at = NULL FROM draft WHERE m.id = draft.id
        ), added AS (
            INSERT INTO outbox (job, args, dedup)
            SELECT 'list.update', jsonb_build_object('mailing', id), 'list:' || id FROM draft
            ON CONFLICT (dedup) WHERE dedup IS NOT NULL DO NOTHING
            RETURNING id
        )
        SELECT count(pg_notify('outbox', id::text)) INTO told FROM added;
    END IF;
    RETURN OLD;
END $$"""


def upgrade() -> None:
    op.create_index(
        "mailing_source_associated_key",
        "mailing_source",
        ["mailing_id"],
        unique=True,
        postgresql_where=sa.text("associated"),
    )
    op.create_index("mailing_draft_idx", "mailing", ["id"], postgresql_where=sa.text("state = 'draft'"))
    op.execute(_FUNCTION)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER drafts_fall_behind BEFORE DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION drafts_fall_behind()"
        )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TRIGGER drafts_fall_behind ON {table}")
    op.execute("DROP FUNCTION drafts_fall_behind()")
    op.drop_index("mailing_draft_idx", table_name="mailing", postgresql_where=sa.text("state = 'draft'"))
    op.drop_index("mailing_source_associated_key", table_name="mailing_source", postgresql_where=sa.text("associated"))
