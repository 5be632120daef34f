"""Who clicked which link: unique clickers and tallies per link and library link, kept by triggers (D40, D44).

A recipient's first click on a link writes a row, a repeat writes none. Verdicts that change and events that go are
followed: such pairs of link and recipient are worked out anew from the events that are left.
"""

import sqlalchemy as sa
from alembic import op

revision = "clickers"
down_revision = "action_outcomes"
branch_labels = None
depends_on = None

# (key, what joins a click to it): the link itself, and the library link that it came from.
LEVELS = (
    ("link", "link_id", ""),
    (
        "library_link",
        "library_link_id",
        "JOIN LATERAL (SELECT library_link_id FROM link WHERE id = e.link_id AND library_link_id > 0 OFFSET 0) AS l ON true",
    ),
)


# OFFSET 0 keeps each look-up one by key: transition tables have no statistics, and a merge join would read all of it.
def _clicks(key: str, join: str, parts: str) -> str:
    column = "e.link_id" if key == "link_id" else "l.library_link_id"
    table = key.removesuffix("_id")
    return f"""
    INSERT INTO {table}_tally AS t ({key}, clicks, machine_clicks)
    SELECT {column}, coalesce(sum(e.n) FILTER (WHERE e.verdict = 'human'), 0),
           coalesce(sum(e.n) FILTER (WHERE e.verdict = 'machine'), 0)
    FROM (
        SELECT link_id, verdict, sum(n)::bigint AS n FROM ({parts}) AS changes
        WHERE kind = 'click' AND link_id IS NOT NULL GROUP BY 1, 2 HAVING sum(n) <> 0
    ) AS e {join}
    GROUP BY 1 ORDER BY 1
    ON CONFLICT ({key}) DO UPDATE SET clicks = t.clicks + excluded.clicks,
        machine_clicks = t.machine_clicks + excluded.machine_clicks;"""


def _added(table: str, key: str, join: str) -> str:
    column = "e.link_id" if key == "link_id" else "l.library_link_id"
    return f"""
    INSERT INTO {table}_clicker AS k ({key}, recipient_id, clicked_at, machine_clicked_at)
    SELECT m.key, m.recipient_id, m.human, m.machine
    FROM (
        SELECT {column} AS key, e.recipient_id, min(e.human) AS human, min(e.machine) AS machine
        FROM (
            SELECT link_id, recipient_id, min(occurred_at) FILTER (WHERE verdict = 'human') AS human,
                   min(occurred_at) FILTER (WHERE verdict = 'machine') AS machine
            FROM new_rows WHERE kind = 'click' AND link_id IS NOT NULL GROUP BY 1, 2
        ) AS e {join}
        GROUP BY 1, 2
    ) AS m
    LEFT JOIN LATERAL (
        SELECT true AS there, clicked_at, machine_clicked_at FROM {table}_clicker
        WHERE {key} = m.key AND recipient_id = m.recipient_id OFFSET 0
    ) AS known ON true
    WHERE known.there IS NULL OR m.human < coalesce(known.clicked_at, 'infinity')
        OR m.machine < coalesce(known.machine_clicked_at, 'infinity')
    ORDER BY 1, 2
    ON CONFLICT ({key}, recipient_id) DO UPDATE SET clicked_at = least(k.clicked_at, excluded.clicked_at),
        machine_clicked_at = least(k.machine_clicked_at, excluded.machine_clicked_at);"""


def _anew(table: str, key: str, join: str, pairs: str) -> str:
    column = "e.link_id" if key == "link_id" else "l.library_link_id"
    of_key = (
        "g.link_id = p.key"
        if key == "link_id"
        else "EXISTS (SELECT FROM link WHERE id = g.link_id AND library_link_id = p.key OFFSET 0)"
    )
    return f"""
    WITH pairs AS (
        SELECT DISTINCT {column} AS key, e.recipient_id FROM ({pairs}) AS e {join}
    ), now_so AS (
        SELECT p.key, p.recipient_id, f.human, f.machine
        FROM pairs AS p CROSS JOIN LATERAL (
            SELECT min(g.occurred_at) FILTER (WHERE g.verdict = 'human') AS human,
                   min(g.occurred_at) FILTER (WHERE g.verdict = 'machine') AS machine
            FROM engagement AS g WHERE g.recipient_id = p.recipient_id AND g.kind = 'click' AND {of_key}
        ) AS f
    ), gone AS (
        DELETE FROM {table}_clicker AS k USING now_so AS n
        WHERE k.{key} = n.key AND k.recipient_id = n.recipient_id AND n.human IS NULL AND n.machine IS NULL
    )
    INSERT INTO {table}_clicker AS k ({key}, recipient_id, clicked_at, machine_clicked_at)
    SELECT key, recipient_id, human, machine FROM now_so WHERE human IS NOT NULL OR machine IS NOT NULL ORDER BY 1, 2
    ON CONFLICT ({key}, recipient_id) DO UPDATE SET clicked_at = excluded.clicked_at,
        machine_clicked_at = excluded.machine_clicked_at
    WHERE (k.clicked_at, k.machine_clicked_at) IS DISTINCT FROM (excluded.clicked_at, excluded.machine_clicked_at);"""


NEW = "SELECT link_id, kind, verdict, 1 AS n FROM new_rows"
OLD = "SELECT link_id, kind, verdict, -1 AS n FROM old_rows"
GONE = "SELECT link_id, recipient_id FROM old_rows WHERE kind = 'click' AND link_id IS NOT NULL"
# A group for each event, and no join of the two: its plan is kept from when they were small, and would be a nested loop.
CHANGED = """SELECT link_id, recipient_id FROM (
            SELECT id, kind, link_id, recipient_id, verdict FROM old_rows
            UNION ALL SELECT id, kind, link_id, recipient_id, verdict FROM new_rows
        ) AS sides
        WHERE kind = 'click' AND link_id IS NOT NULL
        GROUP BY id, link_id, recipient_id HAVING min(verdict) <> max(verdict)"""

BODIES = {
    "added": "".join(_clicks(key, join, NEW) + _added(table, key, join) for table, key, join in LEVELS),
    "removed": "".join(_clicks(key, join, OLD) + _anew(table, key, join, GONE) for table, key, join in LEVELS),
    "changed": "".join(
        _clicks(key, join, f"{NEW} UNION ALL {OLD}") + _anew(table, key, join, CHANGED) for table, key, join in LEVELS
    ),
}
ROWS = {
    "added": ("INSERT", "NEW TABLE AS new_rows"),
    "removed": ("DELETE", "OLD TABLE AS old_rows"),
    "changed": ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
}

_PEOPLE = """SELECT {key} AS key, {sign} count(clicked_at) AS human, {sign} count(*) FILTER (WHERE clicked_at IS NULL)
        AS machine FROM {rows} GROUP BY 1"""


def _people(table: str, key: str, parts: tuple[tuple[str, str], ...]) -> str:
    changes = " UNION ALL ".join(_PEOPLE.format(key=key, sign=sign, rows=rows) for sign, rows in parts)
    return f"""
    INSERT INTO {table}_tally AS t ({key}, clickers, machine_clickers)
    SELECT key, sum(human), sum(machine) FROM ({changes}) AS c GROUP BY 1
    HAVING sum(human) <> 0 OR sum(machine) <> 0 ORDER BY 1
    ON CONFLICT ({key}) DO UPDATE SET clickers = t.clickers + excluded.clickers,
        machine_clickers = t.machine_clickers + excluded.machine_clickers;"""


PARTS = {
    "added": (("", "new_rows"),),
    "removed": (("-", "old_rows"),),
    "changed": (("", "new_rows"), ("-", "old_rows")),
}


def _function(name: str, body: str) -> None:
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN{body}\n    RETURN NULL;\nEND $$"
    )


def _trigger(name: str, table: str, change: str) -> None:
    event, rows = ROWS[change]
    op.execute(
        f"CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


def upgrade() -> None:
    for table, key, _ in LEVELS:
        op.create_table(
            f"{table}_clicker",
            sa.Column(key, sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("recipient_id", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("clicked_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("machine_clicked_at", sa.DateTime(timezone=True), nullable=True),
            sa.PrimaryKeyConstraint(key, "recipient_id", name=f"{table}_clicker_pkey"),
        )
        op.create_table(
            f"{table}_tally",
            sa.Column(key, sa.BigInteger(), autoincrement=False, nullable=False),
            *(
                sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
                for name in ("clicks", "machine_clicks", "clickers", "machine_clickers")
            ),
            sa.PrimaryKeyConstraint(key, name=f"{table}_tally_pkey"),
        )
        # What is there already: one pass over the events.
        column = "e.link_id" if key == "link_id" else "l.library_link_id"
        plain = "" if key == "link_id" else "JOIN link AS l ON l.id = e.link_id AND l.library_link_id IS NOT NULL"
        of_clicks = f"FROM engagement AS e {plain} WHERE e.kind = 'click' AND e.link_id IS NOT NULL"
        op.execute(
            f"INSERT INTO {table}_clicker SELECT {column}, e.recipient_id,"
            " min(e.occurred_at) FILTER (WHERE e.verdict = 'human'),"
            f" min(e.occurred_at) FILTER (WHERE e.verdict = 'machine') {of_clicks} GROUP BY 1, 2"
        )
        op.execute(
            f"INSERT INTO {table}_tally SELECT c.key, c.human, c.machine, k.human, k.machine FROM ("
            f"SELECT {column} AS key, count(*) FILTER (WHERE e.verdict = 'human') AS human,"
            f" count(*) FILTER (WHERE e.verdict = 'machine') AS machine {of_clicks} GROUP BY 1) AS c JOIN ("
            f"SELECT {key} AS key, count(clicked_at) AS human, count(*) FILTER (WHERE clicked_at IS NULL) AS machine"
            f" FROM {table}_clicker GROUP BY 1) AS k USING (key)"
        )
        for change in ROWS:
            _function(f"{table}_clicker_{change}", _people(table, key, PARTS[change]))
            _trigger(f"{table}_clicker_{change}", f"{table}_clicker", change)
    for change, body in BODIES.items():
        _function(f"link_clicks_{change}", body)
        _trigger(f"link_clicks_{change}", "engagement", change)
    op.create_index("link_honeypot_idx", "link", ["id"], postgresql_where=sa.text("honeypot"))
    # Whoever stores events waits while it is built; readers do not, their clicks are in the spool meanwhile.
    op.create_index(
        "engagement_link_idx", "engagement", ["link_id", "occurred_at"],
        postgresql_where=sa.text("link_id IS NOT NULL"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("engagement_link_idx", table_name="engagement")
    op.drop_index("link_honeypot_idx", table_name="link")
    for change in ROWS:
        op.execute(f"DROP TRIGGER link_clicks_{change} ON engagement")
        op.execute(f"DROP FUNCTION link_clicks_{change}()")
    for table, _, _ in LEVELS:
        op.drop_table(f"{table}_tally")
        op.drop_table(f"{table}_clicker")
        for change in ROWS:
            op.execute(f"DROP FUNCTION {table}_clicker_{change}()")
