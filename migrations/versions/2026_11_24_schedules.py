"""Schedules, chunks that wait for their time, and events of mailings (D27, D28).

Mailings that are scheduled follow deletions as drafts do (decision 8): they may wait for weeks.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "schedules"
down_revision = "sending_domains"
branch_labels = None
depends_on = None

_TYPES = (
    "scheduled", "unscheduled", "preparing", "not_started", "started", "stopped", "resumed", "finished", "expired",
    "cancelled", "failed",
)  # fmt: skip

# Who changed it and the reason are on the mailing and in the audit log: server's words name addresses.
_EVENT = """
CREATE FUNCTION event_of_mailing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event (type, data)
    SELECT 'mailing.' || CASE
               WHEN NEW.state = 'draft' THEN CASE OLD.state WHEN 'preparing' THEN 'not_started' ELSE 'unscheduled' END
               WHEN NEW.state = 'sending' THEN CASE OLD.state WHEN 'preparing' THEN 'started' ELSE 'resumed' END
               ELSE NEW.state END,
           jsonb_build_object('mailing_id', NEW.id, 'state', NEW.state, 'previous_state', OLD.state,
                              'send_at', NEW.send_at);
    RETURN NULL;
END $$"""
_TRIGGER = """
CREATE TRIGGER event_mailing_moved AFTER UPDATE ON mailing FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state
      OR (NEW.state = 'scheduled' AND OLD.send_at IS DISTINCT FROM NEW.send_at))
EXECUTE FUNCTION event_of_mailing()"""

_DRAFT, _BOTH = "state = 'draft'", "state IN ('draft', 'scheduled')"


def _follow(old: str, new: str) -> None:
    """Have other mailings fall behind by deletions, and be found by the index that the trigger needs."""
    op.execute(
        "DO $do$ BEGIN EXECUTE replace(pg_get_functiondef('drafts_fall_behind'::regproc), "
        f"$old${old}$old$, $new${new}$new$); END $do$"
    )
    op.drop_index("mailing_draft_idx", table_name="mailing")
    op.create_index("mailing_draft_idx", "mailing", ["id"], postgresql_where=sa.text(new))


def upgrade() -> None:
    for name in ("send_at", "send_before", "starts_at"):
        op.add_column("mailing", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("mailing", sa.Column("time_zone", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column(
        "mailing", sa.Column("recipient_local_time", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index("mailing_scheduled_idx", "mailing", ["starts_at"], postgresql_where=sa.text("state = 'scheduled'"))
    _follow(_DRAFT, _BOTH)
    for name in ("not_before", "send_before"):
        op.add_column("chunk", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    _allow_types(added=True)
    op.execute(_EVENT)
    op.execute(_TRIGGER)


def _allow_types(*, added: bool) -> None:
    """Change which types of events there are, whichever others have been added."""
    ours = ", ".join(f"'mailing.{name}'" for name in _TYPES)
    known = "array_append(types, name)" if added else "array_remove(types, name)"
    op.execute(
        f"""
        DO $do$
        DECLARE
            types text[];
            name text;
        BEGIN
            SELECT array_agg(m[1]) INTO types FROM pg_constraint,
                regexp_matches(pg_get_constraintdef(oid), '''([a-z_.]+)''', 'g') AS m
            WHERE conname = 'event_type_check' AND conrelid = 'event'::regclass;
            FOREACH name IN ARRAY ARRAY[{ours}] LOOP
                types := {known};
            END LOOP;
            ALTER TABLE event DROP CONSTRAINT event_type_check;
            EXECUTE (SELECT format('ALTER TABLE event ADD CONSTRAINT event_type_check CHECK (type IN (%s))',
                                   string_agg(quote_literal(t), ', ')) FROM unnest(types) AS t);
        END $do$
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER event_mailing_moved ON mailing")
    op.execute("DROP FUNCTION event_of_mailing()")
    op.execute("DELETE FROM event WHERE type LIKE 'mailing.%'")
    _allow_types(added=False)
    for name in ("send_before", "not_before"):
        op.drop_column("chunk", name)
    _follow(_BOTH, _DRAFT)
    op.drop_index("mailing_scheduled_idx", table_name="mailing")
    for name in ("recipient_local_time", "time_zone", "starts_at", "send_before", "send_at"):
        op.drop_column("mailing", name)
