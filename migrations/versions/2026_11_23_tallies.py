"""Tallies kept by triggers, and the ledger that only grows.

A tally is changed by the statement that changes what it counts, in the same transaction, whichever code path that is:
so it equals a recount at any moment. Statement triggers with transition tables group first and cost well under a
microsecond a row.
"""

from alembic import op

revision = "tallies"
down_revision = "first_tables"
branch_labels = None
depends_on = None

_GROUPED = """
    SELECT g.mailing_id, v.name, {sign} v.n AS n
    FROM (
        SELECT mailing_id, status, reason, bounce, count(*) AS lines, count(opened_at) AS opened,
               count(coalesce(opened_at, machine_opened_at)) AS opened_total, count(clicked_at) AS clicked,
               count(coalesce(clicked_at, machine_clicked_at)) AS clicked_total,
               count(unsubscribed_at) AS unsubscribed, count(complained_at) AS complained,
               count(sent_at) AS accepted
        FROM {rows} GROUP BY mailing_id, status, reason, bounce
    ) AS g,
    LATERAL (VALUES
        ('total', g.lines),
        (g.status, g.lines),
        ('blocked:' || g.reason, CASE WHEN g.status = 'blocked' THEN g.lines END),
        ('bounced:' || g.bounce, CASE WHEN g.status = 'bounced' THEN g.lines END),
        ('accepted', g.accepted), ('opened', g.opened), ('opened_total', g.opened_total),
        ('clicked', g.clicked), ('clicked_total', g.clicked_total),
        ('unsubscribed', g.unsubscribed), ('complained', g.complained)
    ) AS v (name, n)
    WHERE v.name IS NOT NULL AND v.n > 0
"""


# Rows go in key order, so that two statements that touch the same tallies never wait for each other in a circle.
def _tally_function(name: str, parts: str) -> str:
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recipient_tally AS t (mailing_id, name, value)
    SELECT mailing_id, name, sum(n) FROM ({parts}) AS changes
    GROUP BY mailing_id, name HAVING sum(n) <> 0 ORDER BY mailing_id, name
    ON CONFLICT (mailing_id, name) DO UPDATE SET value = t.value + excluded.value;
    RETURN NULL;
END $$"""


_EVENTS = """
    SELECT mailing_id, coalesce(link_id, 0) AS link_id, kind, verdict,
           date_trunc('hour', occurred_at, 'UTC') AS hour, {sign} count(*) AS n
    FROM {rows} GROUP BY 1, 2, 3, 4, 5
"""


def _event_function(name: str, parts: str) -> str:
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO engagement_tally AS t (mailing_id, link_id, kind, verdict, hour, events)
    SELECT mailing_id, link_id, kind, verdict, hour, sum(n) FROM ({parts}) AS changes
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (mailing_id, link_id, kind, verdict, hour) DO UPDATE SET events = t.events + excluded.events;
    RETURN NULL;
END $$"""


TABLES = (
    ("recipient", "recipient_tally", _GROUPED, _tally_function),
    ("engagement", "engagement_tally", _EVENTS, _event_function),
)


def upgrade() -> None:
    for table, tally, grouped, function in TABLES:
        added = grouped.format(sign="", rows="new_rows")
        removed = grouped.format(sign="-", rows="old_rows")
        op.execute(function(f"{tally}_added", added))
        op.execute(function(f"{tally}_removed", removed))
        op.execute(function(f"{tally}_changed", f"{added} UNION ALL {removed}"))
        op.execute(
            f"CREATE TRIGGER {tally}_added AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {tally}_added()"
        )
        op.execute(
            f"CREATE TRIGGER {tally}_removed AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {tally}_removed()"
        )
        op.execute(
            f"CREATE TRIGGER {tally}_changed AFTER UPDATE ON {table} "
            "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {tally}_changed()"
        )
    op.execute(
        "CREATE FUNCTION consent_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'the consent ledger is append-only: add a line instead' USING ERRCODE = 'restrict_violation'; "
        "END $$"
    )
    op.execute(
        "CREATE TRIGGER consent_is_append_only BEFORE UPDATE OR DELETE ON consent "
        "FOR EACH ROW EXECUTE FUNCTION consent_is_append_only()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER consent_is_append_only ON consent")
    op.execute("DROP FUNCTION consent_is_append_only()")
    for table, tally, _, _ in TABLES:
        for change in ("added", "removed", "changed"):
            op.execute(f"DROP TRIGGER {tally}_{change} ON {table}")
            op.execute(f"DROP FUNCTION {tally}_{change}()")
