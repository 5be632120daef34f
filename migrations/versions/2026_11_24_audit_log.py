"""The audit log and the triggers that keep it (decision 5).

Statement triggers with transition tables, as for tallies: no code path can forget an entry, and a rollback takes its
entries back.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "audit_log"
down_revision = "association"
branch_labels = None
depends_on = None

# table: key columns, person's column, address's column, columns left out, how: "" a row each unless there are many,
# "rows" a row each always, "sum" never.
AUDITED = {
    "api_key": ("id", "", "", "hash,last_used_at", ""),
    "blocked_address": ("id", "", "email_key", "", ""),
    "company": ("id", "", "", "updated_at,email_key", ""),
    "company_subscription": ("company_id,subscription_type_id", "", "", "", ""),
    "consent": ("id", "person_id", "email_key", "", ""),
    "consent_purpose": ("key", "", "", "", ""),
    "extra_field": ("id", "", "", "", ""),
    "folder": ("id", "", "", "", ""),
    # the rest is its progress
    "import": ("id", "", "", "detected,next_row,rows,created,updated,rejected", "rows"),
    "interest": ("id", "", "", "", ""),
    "mailing": ("id", "", "", "updated_at,version,list_updated_at", ""),
    "mailing_source": ("id", "person_id", "", "", ""),
    "person": ("id", "id", "", "updated_at,email_key", ""),
    "person_email": ("id", "person_id", "", "email_key", ""),
    "person_interest": ("person_id,interest_id", "person_id", "", "", ""),
    "project": ("id", "", "", "updated_at", ""),
    "project_member": ("project_id,person_id", "person_id", "", "", ""),
    "selection": ("id", "", "", "updated_at", ""),
    "selection_company": ("selection_id,company_id", "", "", "", ""),
    "selection_member": ("selection_id,person_id", "person_id", "", "", ""),
    "source_address": ("source_id,position", "", "", "", "sum"),
    "subscription": ("person_id,subscription_type_id", "person_id", "", "changed_at", ""),
    "subscription_type": ("id", "", "", "", ""),
    "template": ("id", "", "", "updated_at,version", ""),
}

_KEY = """
CREATE FUNCTION audit_key(line jsonb, columns text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(line ->> name, '/') FROM unnest(columns) AS name
$$"""

_VALUE = """
CREATE FUNCTION audit_value(value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- A mailing's HTML is up to megabytes: its length and checksum tell whether it changed.
    SELECT CASE WHEN length(value::text) > 2000
        THEN jsonb_build_object('characters', length(value #>> '{}'), 'md5', md5(value #>> '{}')) ELSE value END
$$"""

_LINE = """
CREATE FUNCTION audit_line(line jsonb, left_out text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_object_agg(key, audit_value(value)) FROM jsonb_each(jsonb_strip_nulls(line))
    WHERE key <> ALL (left_out)
$$"""

_CHANGES = """
CREATE FUNCTION audit_changes() RETURNS trigger LANGUAGE plpgsql AS $$
-- Arguments: see AUDITED in the migration.
DECLARE
    actor jsonb := coalesce(nullif(current_setting('budstikke.actor', true), ''), '{}')::jsonb;
    who text := coalesce(actor ->> 'who', 'database:' || current_user);
    keys text[] := string_to_array(TG_ARGV[0], ',');
    left_out text[] := string_to_array(TG_ARGV[3], ',');
    lines bigint;
    done text := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'changed' ELSE 'deleted' END;
BEGIN
    IF TG_OP = 'DELETE' THEN
        SELECT count(*) INTO lines FROM old_rows;
    ELSE
        SELECT count(*) INTO lines FROM new_rows;
    END IF;
    -- Erasure has an entry of its own; what it erases must not be written down here.
    IF lines = 0 OR current_setting('budstikke.erasing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    -- 500 entries cost some 20 ms; past that, and for imports, a statement is summed up.
    IF TG_ARGV[4] = 'sum' OR (TG_ARGV[4] = '' AND (lines > 500 OR actor ? 'bulk')) THEN
        INSERT INTO audit_log AS a (actor, actor_name, request_id, action, entity, rows, bulk)
        VALUES (who, actor ->> 'name', actor ->> 'request_id', done, TG_TABLE_NAME, lines,
                CASE WHEN actor ? 'bulk' THEN concat_ws('/', actor ->> 'bulk', TG_TABLE_NAME, done) END)
        ON CONFLICT (bulk) WHERE bulk IS NOT NULL DO UPDATE SET rows = a.rows + excluded.rows;
    ELSIF TG_OP = 'UPDATE' THEN
        -- Grouped and not joined: the plan is kept for the session, and one that was made for a single row would go
        -- through all new rows for each old one.
        INSERT INTO audit_log (actor, actor_name, request_id, action, entity, entity_id, person_id, address,
                               before, after)
        SELECT who, actor ->> 'name', actor ->> 'request_id', done, TG_TABLE_NAME, n.line ->> keys[1],
               (n.line ->> TG_ARGV[1])::bigint, n.line ->> TG_ARGV[2], d.before, d.after
        FROM (
            SELECT jsonb_object_agg('line', line) FILTER (WHERE NOT is_new) -> 'line' AS line_before,
                   jsonb_object_agg('line', line) FILTER (WHERE is_new) -> 'line' AS line
            FROM (SELECT to_jsonb(r) AS line, true AS is_new FROM new_rows AS r
                  UNION ALL SELECT to_jsonb(r), false FROM old_rows AS r) AS lines
            GROUP BY audit_key(line, keys)
        ) AS n
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(key, audit_value(n.line_before -> key)) AS before,
                   jsonb_object_agg(key, audit_value(value)) AS after, bool_or(value <> n.line_before -> key) AS differs
            FROM jsonb_each(n.line)
            WHERE (value <> n.line_before -> key AND key <> ALL (left_out)) OR key = ANY (keys[2:])
        ) AS d
        WHERE d.differs;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO audit_log (actor, actor_name, request_id, action, entity, entity_id, person_id, address, after)
        SELECT who, actor ->> 'name', actor ->> 'request_id', done, TG_TABLE_NAME, x.line ->> keys[1],
               (x.line ->> TG_ARGV[1])::bigint, x.line ->> TG_ARGV[2], audit_line(x.line, left_out)
        FROM (SELECT to_jsonb(r) AS line FROM new_rows AS r) AS x;
    ELSE
        INSERT INTO audit_log (actor, actor_name, request_id, action, entity, entity_id, person_id, address, before)
        SELECT who, actor ->> 'name', actor ->> 'request_id', done, TG_TABLE_NAME, x.line ->> keys[1],
               (x.line ->> TG_ARGV[1])::bigint, x.line ->> TG_ARGV[2], audit_line(x.line, left_out)
        FROM (SELECT to_jsonb(r) AS line FROM old_rows AS r) AS x;
    END IF;
    RETURN NULL;
END $$"""

_TRIGGERS = (
    ("created", "INSERT", "NEW TABLE AS new_rows"),
    ("changed", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("actor_name", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("request_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column(
            "action",
            sa.Enum(
                "created",
                "changed",
                "deleted",
                "erased",
                name="action",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("entity", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("entity_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("address", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("rows", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("bulk", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_index("audit_log_entity_idx", "audit_log", ["entity", "entity_id", "id"])
    op.create_index("audit_log_actor_idx", "audit_log", ["actor", "id"])
    for name, columns, unique in (
        ("person", ["person_id", "id"], False),
        ("address", ["address"], False),
        ("bulk", ["bulk"], True),
    ):
        op.create_index(
            f"audit_log_{name}_idx",
            "audit_log",
            columns,
            unique=unique,
            postgresql_where=sa.text(f"{columns[0]} IS NOT NULL"),
        )
    for function in (_KEY, _VALUE, _LINE, _CHANGES):
        op.execute(function)
    for table, arguments in AUDITED.items():
        passed = ", ".join(f"'{argument}'" for argument in arguments)
        for name, event, rows in _TRIGGERS:
            op.execute(
                f'CREATE TRIGGER audit_{name} AFTER {event} ON "{table}" REFERENCING {rows} '
                f"FOR EACH STATEMENT EXECUTE FUNCTION audit_changes({passed})"
            )


def downgrade() -> None:
    for table in AUDITED:
        for name, _, _ in _TRIGGERS:
            op.execute(f'DROP TRIGGER audit_{name} ON "{table}"')
    op.execute("DROP FUNCTION audit_changes()")
    op.execute("DROP FUNCTION audit_line(jsonb, text[])")
    op.execute("DROP FUNCTION audit_value(jsonb)")
    op.execute("DROP FUNCTION audit_key(jsonb, text[])")
    op.drop_table("audit_log")
