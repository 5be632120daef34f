"""Events of persons, consents, addresses and imports, written by triggers (decision 7)."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "events"
down_revision = "blocked_registry"
branch_labels = None
depends_on = None

TYPES = (
    "person.created", "person.updated", "person.deleted", "person.erased", "consent.given", "consent.withdrawn",
    "consent.expired", "subscription.changed", "address.blocked", "address.unblocked", "import.finished",
)  # fmt: skip

# An import says once that it is finished; its rows are no events.
_HEAD = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(nullif(current_setting('budstikke.actor', true), ''), '{{}}')::jsonb ? 'bulk' THEN
        RETURN NULL;
    END IF;
    {body}
    RETURN NULL;
END $$"""

_PERSON = """
    IF TG_OP = 'INSERT' THEN
        INSERT INTO event (type, person_id, data)
        SELECT 'person.created', id, jsonb_build_object('person_id', id, 'external_id', external_id) FROM new_rows
        ORDER BY id;
    ELSIF TG_OP = 'UPDATE' THEN
        -- Written out column by column, rows cost 5 us; compared as JSON, 50. And a plan of its own each time: one that
        -- was made for a single row would loop over a bulk's rows for each of them.
        EXECUTE (
            SELECT format(
                $sql$ INSERT INTO event (type, person_id, data)
                SELECT 'person.updated', id, jsonb_build_object(
                    'person_id', id, 'external_id', external_id, 'fields', to_jsonb(fields))
                FROM (
                    SELECT n.id, n.external_id, array_remove(ARRAY[%s], NULL) AS fields
                    FROM old_rows AS o JOIN new_rows AS n USING (id)
                ) AS compared
                WHERE fields <> '{}' ORDER BY id $sql$,
                string_agg(format('CASE WHEN o.%1$I IS DISTINCT FROM n.%1$I THEN %1$L END', attname), ', '
                           ORDER BY attname))
            FROM pg_attribute
            WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped
                AND attname NOT IN ('updated_at', 'email_key')
        );
    ELSIF current_setting('budstikke.erasing', true) = 'on' THEN
        INSERT INTO event (type, person_id, data)
        SELECT 'person.erased', id, jsonb_build_object('person_id', id) FROM old_rows ORDER BY id;
    ELSE
        INSERT INTO event (type, person_id, data)
        SELECT 'person.deleted', id, jsonb_build_object('person_id', id, 'external_id', external_id) FROM old_rows
        ORDER BY id;
    END IF;"""

# Further addresses and interests are fields of the person. Where the person, or the interest itself, is being deleted,
# its own event says so.
_PART = """
    INSERT INTO event (type, person_id, data)
    SELECT 'person.updated', p.id, jsonb_build_object('person_id', p.id, 'external_id', p.external_id,
                                                      'fields', jsonb_build_array('{field}'))
    FROM (SELECT DISTINCT person_id AS id FROM {rows} AS r {only}) AS c JOIN person AS p USING (id)
    ORDER BY p.id;"""

_CONSENT = """
    INSERT INTO event (type, person_id, data)
    SELECT 'consent.' || action, person_id,
           jsonb_build_object('person_id', person_id, 'purpose', purpose, 'consent_id', id)
    FROM new_rows WHERE person_id IS NOT NULL ORDER BY id;"""

_SUBSCRIPTION = """
    INSERT INTO event (type, person_id, data)
    SELECT 'subscription.changed', n.person_id, jsonb_build_object(
        'person_id', n.person_id, 'subscription_type_id', n.subscription_type_id, 'subscribed', n.subscribed)
    FROM {rows} AS n ORDER BY n.person_id, n.subscription_type_id;"""

# Grouped and not joined: a plan that is kept from a single row must do for many.
_ANSWERS = """(
        SELECT person_id, subscription_type_id, bool_or(subscribed) FILTER (WHERE is_new) AS subscribed
        FROM (SELECT *, true AS is_new FROM new_rows UNION ALL SELECT *, false FROM old_rows) AS answers
        GROUP BY person_id, subscription_type_id
        HAVING bool_or(subscribed) FILTER (WHERE is_new) <> bool_or(subscribed) FILTER (WHERE NOT is_new)
    )"""

# Not the address, but whose it is: events are kept, and read by others.
_ADDRESS = """
    INSERT INTO event (type, data)
    SELECT 'address.{done}', jsonb_build_object(
        'blocked_address_id', b.id, 'reason', b.reason, 'mailing_id', b.mailing_id, 'person_ids', coalesce((
            SELECT jsonb_agg(id ORDER BY id) FROM (
                SELECT id FROM person WHERE email_key = b.email_key
                UNION SELECT person_id FROM person_email WHERE email_key = b.email_key
            ) AS holder), '[]'))
    FROM {rows} AS b WHERE coalesce(current_setting('budstikke.erasing', true), '') <> 'on' ORDER BY b.id;"""

_FUNCTIONS = {
    "event_of_person": _PERSON,
    "event_of_emails_added": _PART.format(field="emails", rows="new_rows", only=""),
    "event_of_emails_removed": _PART.format(field="emails", rows="old_rows", only=""),
    "event_of_interests_added": _PART.format(field="interests", rows="new_rows", only=""),
    "event_of_interests_removed": _PART.format(
        field="interests", rows="old_rows", only="WHERE EXISTS (SELECT FROM interest AS i WHERE i.id = r.interest_id)"
    ),
    "event_of_consent": _CONSENT,
    "event_of_subscription_added": _SUBSCRIPTION.format(rows="new_rows"),
    "event_of_subscription_changed": _SUBSCRIPTION.format(rows=_ANSWERS),
    "event_of_blocking": _ADDRESS.format(done="blocked", rows="new_rows"),
    "event_of_unblocking": _ADDRESS.format(done="unblocked", rows="old_rows"),
}

_OLD, _NEW = "OLD TABLE AS old_rows", "NEW TABLE AS new_rows"
_TRIGGERS = (
    # table, name, event, transition tables, function
    ("person", "event_created", "INSERT", _NEW, "event_of_person"),
    ("person", "event_updated", "UPDATE", f"{_OLD} {_NEW}", "event_of_person"),
    ("person", "event_deleted", "DELETE", _OLD, "event_of_person"),
    ("person_email", "event_added", "INSERT", _NEW, "event_of_emails_added"),
    ("person_email", "event_changed", "UPDATE", _NEW, "event_of_emails_added"),
    ("person_email", "event_removed", "DELETE", _OLD, "event_of_emails_removed"),
    ("person_interest", "event_added", "INSERT", _NEW, "event_of_interests_added"),
    ("person_interest", "event_removed", "DELETE", _OLD, "event_of_interests_removed"),
    ("consent", "event_recorded", "INSERT", _NEW, "event_of_consent"),
    ("subscription", "event_added", "INSERT", _NEW, "event_of_subscription_added"),
    ("subscription", "event_changed", "UPDATE", f"{_OLD} {_NEW}", "event_of_subscription_changed"),
    ("blocked_address", "event_blocked", "INSERT", _NEW, "event_of_blocking"),
    ("blocked_address", "event_unblocked", "DELETE", _OLD, "event_of_unblocking"),
)

# A row trigger with a condition: progress changes an operation's row all the time, its end does once.
_IMPORT = """
CREATE FUNCTION event_of_import() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event (type, data)
    SELECT 'import.finished', jsonb_build_object(
        'import_id', i.id, 'operation_id', NEW.id, 'state', NEW.state, 'created', i.created, 'updated', i.updated,
        'rejected', i.rejected)
    FROM import AS i WHERE i.operation_id = NEW.id;
    RETURN NULL;
END $$"""


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column(
            "type",
            sa.Enum(*TYPES, name="type", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("occurred_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("event_pkey")),
    )
    op.create_index("event_seq_idx", "event", ["seq"], unique=True, postgresql_where=sa.text("seq IS NOT NULL"))
    op.create_index("event_unnumbered_idx", "event", ["id"], postgresql_where=sa.text("seq IS NULL"))
    op.create_index("event_person_idx", "event", ["person_id"], postgresql_where=sa.text("person_id IS NOT NULL"))
    op.create_table(
        "event_feed",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("event_feed_pkey")),
    )
    op.execute("INSERT INTO event_feed (id) VALUES (1)")
    for name, body in _FUNCTIONS.items():
        op.execute(_HEAD.format(name=name, body=body))
    for table, name, event, rows, function in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {rows} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
    op.execute(_IMPORT)
    op.execute(
        "CREATE TRIGGER event_import_finished AFTER UPDATE ON operation FOR EACH ROW "
        "WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL AND NEW.kind = 'import') "
        "EXECUTE FUNCTION event_of_import()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER event_import_finished ON operation")
    op.execute("DROP FUNCTION event_of_import()")
    for table, name, *_ in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for name in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("event_feed")
    op.drop_table("event")
