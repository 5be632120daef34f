"""Link actions, their runs, scripts, and the follow-ups and requests that runs make (D38, D39)."""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "link_actions"
down_revision = "honeypot_link"
branch_labels = None
depends_on = None

KINDS = ("response", "set_field", "interests", "membership", "follow_up", "request", "script")
STATES = ("held", "waiting", "done", "failed", "skipped", "dropped")
EVENTS = ("follow_up.created", "request.created")

# table: the person's column, columns left out of the audit log
AUDITED = {
    "link_action": ("", "updated_at"),
    "script": ("", "updated_at,secret_salt"),
    "follow_up": ("person_id", ""),
    "request": ("person_id", ""),
}
_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)

_EVENT = """
CREATE FUNCTION event_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event (type, person_id, data)
    SELECT '{table}.created', n.person_id, jsonb_build_object(
        '{table}_id', n.id, 'person_id', n.person_id, 'external_id', p.external_id, 'company_id', n.company_id,
        'mailing_id', n.mailing_id, 'link_id', n.library_link_id)
    FROM new_rows AS n LEFT JOIN person AS p ON p.id = n.person_id ORDER BY n.id;
    RETURN NULL;
END $$"""


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)


def _row() -> list[sa.Column]:
    return [
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    ]


def _text(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sqlmodel.sql.sqltypes.AutoString(), nullable=nullable)


def _key(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.id"], name=op.f(f"{table}_{column}_fkey"), ondelete="SET NULL"
    )  # fmt: skip


def _collected(table: str, *columns: sa.Column | sa.ForeignKeyConstraint) -> None:
    op.create_table(
        table,
        *_row(),
        *(_key(name) for name in ("run_id", "library_link_id", "mailing_id", "recipient_id")),
        *(_key(name, nullable=True) for name in ("person_id", "company_id")),
        *(_text(name, nullable=True) for name in ("owner_name", "owner_email")),
        _moment("taken_over_at", nullable=True),
        _text("external_id", nullable=True),
        *columns,
        _refers(table, "person_id", "person"),
        _refers(table, "company_id", "company"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{table}_pkey")),
        sa.UniqueConstraint("run_id", name=op.f(f"{table}_run_id_key")),
    )
    for name in ("person_id", "company_id"):
        op.create_index(op.f(f"{table}_{name}_idx"), table, [name])
    op.create_index(f"{table}_mailing_idx", table, ["mailing_id", "id"])
    op.create_index(f"{table}_waiting_idx", table, ["id"], postgresql_where=sa.text("taken_over_at IS NULL"))


def _allow_events(*, added: bool) -> None:
    """Change which types of events there are, whichever others have been added."""
    ours = ", ".join(f"'{name}'" for name in EVENTS)
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


def upgrade() -> None:
    op.create_table(
        "script",
        *_row(),
        _text("name"),
        _text("url"),
        sa.Column("timeout_ms", sa.Integer(), server_default="800", nullable=False),
        sa.Column("secret_salt", sa.LargeBinary(), nullable=False),
        _moment("updated_at", now=True),
        sa.PrimaryKeyConstraint("id", name=op.f("script_pkey")),
    )
    op.create_table(
        "link_action",
        *_row(),
        _key("library_link_id"),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", _choice("kind", *KINDS), nullable=False),
        sa.Column("settings", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        _moment("updated_at", now=True),
        sa.ForeignKeyConstraint(
            ["library_link_id"], ["library_link.id"], name=op.f("link_action_library_link_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("link_action_pkey")),
    )
    op.create_index("link_action_order_idx", "link_action", ["library_link_id", "position"])
    op.create_table(
        "action_run",
        *_row(),
        _key("action_id"),
        sa.Column("kind", _choice("kind", *KINDS), nullable=False),
        *(_key(name) for name in ("library_link_id", "recipient_id", "mailing_id", "link_id")),
        _moment("clicked_at"),
        sa.Column("state", _choice("state", *STATES), server_default="held", nullable=False),
        _moment("due_at", now=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _text("detail", nullable=True),
        _moment("tried_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("action_run_pkey")),
    )
    op.create_index("action_run_once_idx", "action_run", ["recipient_id", "action_id"], unique=True)
    op.create_index("action_run_link_idx", "action_run", ["library_link_id", "id"])
    op.create_index("action_run_mailing_idx", "action_run", ["mailing_id", "id"])
    op.create_index(
        "action_run_due_idx", "action_run", ["due_at"], postgresql_where=sa.text("state IN ('held', 'waiting')")
    )
    op.create_index("action_run_failed_idx", "action_run", ["id"], postgresql_where=sa.text("state = 'failed'"))
    _collected(
        "follow_up",
        sa.Column("type", _choice("type", "task", "appointment"), nullable=False),
        _text("description"),
        _key("project_id", nullable=True),
        sa.Column("duration_minutes", sa.Integer(), nullable=True),
        _refers("follow_up", "project_id", "project"),
    )
    op.create_index(op.f("follow_up_project_id_idx"), "follow_up", ["project_id"])
    _collected(
        "request",
        _text("title"),
        sa.Column("priority", _choice("priority", "low", "medium", "high"), nullable=False),
        _text("category", nullable=True),
        sa.Column("assignment", _choice("assignment", "owner", "unassigned", "automatic"), nullable=False),
    )
    for table, (person, left_out) in AUDITED.items():
        for name, event, rows in _TRIGGERS:
            op.execute(
                f"CREATE TRIGGER audit_{name} AFTER {event} ON {table} REFERENCING {rows} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION audit_changes('id', '{person}', '', '{left_out}', '')"
            )
    _allow_events(added=True)
    for table in ("follow_up", "request"):
        op.execute(_EVENT.format(table=table))
        op.execute(
            f"CREATE TRIGGER event_{table} AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION event_of_{table}()"
        )


def downgrade() -> None:
    for table in ("request", "follow_up"):
        op.drop_table(table)
        op.execute(f"DROP FUNCTION event_of_{table}()")
    op.drop_table("action_run")
    op.drop_table("link_action")
    op.drop_table("script")
    op.execute("DELETE FROM event WHERE type IN ('follow_up.created', 'request.created')")
    _allow_events(added=False)
