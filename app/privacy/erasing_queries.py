"""SQL of erasure: what goes, what is emptied, what stays and why (decision 14).

Run under `budstikke.erasing`, which lets the ledger's free text be emptied, and keeps the audit log from writing down
what is being erased. Statements say what index finds the rows; those that scan, scan small tables.
"""

import sqlalchemy as sa
from sqlalchemy import text

from app.privacy.knowing_queries import about

BEGIN = text("SELECT set_config('budstikke.erasing', 'on', true)")
END = text("SELECT set_config('budstikke.erasing', 'off', true)")

FORBID = about("""
    -- Nothing is sent to these addresses again, and nobody can read them (D78).
    INSERT INTO erased_address (hash) SELECT erased_hash(key) FROM unnest(:keys) AS key ON CONFLICT DO NOTHING
""")

EMPTY_LINES = about("""
    -- Lines stay and so do statuses and marks: statistics equal a recount as before. What waits is taken out at once
    -- (D47); in key order, so that senders and erasures never wait for each other in a circle. By primary key.
    WITH mine AS (SELECT id FROM recipient WHERE id = ANY(:lines) ORDER BY id FOR NO KEY UPDATE)
    UPDATE recipient AS r
    SET person_id = NULL, name = '', email = '', email_key = NULL, reply = NULL, consent_id = NULL,
        subscribed_at = NULL, due_at = NULL,
        reason = CASE WHEN r.status IN ('ready', 'deferred') THEN 'blocked_address' ELSE r.reason END,
        status = CASE WHEN r.status IN ('ready', 'deferred') THEN 'blocked' ELSE r.status END
    FROM mine WHERE r.id = mine.id
""")

# What the browser and the servers said. The time, the link and the verdict stay: they are the statistics.
EMPTY_ENGAGEMENT = about("""
    -- By engagement_recipient_idx.
    UPDATE engagement SET user_agent = NULL WHERE recipient_id = ANY(:lines) AND user_agent IS NOT NULL
""")
EMPTY_BOUNCES = about("""
    -- By the unique key of (recipient_id, origin).
    UPDATE bounce SET detail = '' WHERE recipient_id = ANY(:lines)
""")
EMPTY_MESSAGES = about("""
    -- By inbound_message_recipient_id_idx. The digest stays, so that a repeat is still one.
    UPDATE inbound_message
    SET octets = '', read_at = coalesce(read_at, now()), outcome = coalesce(outcome, 'erased')
    WHERE recipient_id = ANY(:lines)
""")

EMPTY_SOURCES = about("""
    -- A source of this person has the person's name as its label. Those of deleted persons are found by the lines they
    -- brought. Before lines and person go.
    UPDATE mailing_source SET label = ''
    WHERE kind = 'person' AND (person_id = :person_id
        OR id IN (SELECT source_id FROM recipient WHERE id = ANY(:lines) AND person_id = :person_id))
""")
DELETE_PASTED = about("""
    -- By source_address_email_key_idx.
    DELETE FROM source_address WHERE email_key = ANY(:keys)
""")

DELETE_EXPORTS = about("""
    -- Files of lists with one of the lines in them, also of one that is being written: its operation ends with words.
    -- Lists that the person has left since are not known any more; their files are kept for a day. A scan of a day's.
    WITH gone AS (
        DELETE FROM recipient_export
        WHERE mailing_id IN (SELECT mailing_id FROM recipient WHERE id = ANY(:lines)) RETURNING file_id, operation_id
    ), ended AS (
        UPDATE operation SET state = 'failed', finished_at = now(), version = version + 1,
            error = '{"detail": "Somebody on the list was erased while it was written; ask for it again."}'
        WHERE id IN (SELECT operation_id FROM gone) AND state IN ('waiting', 'running')
    )
    DELETE FROM stored_file WHERE id IN (SELECT file_id FROM gone)
""")

EMPTY_LEDGER = about("""
    -- Proof of consent is kept (articles 7 (1) and 17 (3) (e)): purpose, action, basis, wording, language and times.
    -- What was written freely goes, and the address becomes its keyed hash: whoever shows the address can be shown the
    -- line. By consent_person_purpose_idx and consent_address_idx.
    UPDATE consent
    SET source = 'erased', evidence = NULL,
        email_key = CASE WHEN email_key IS NOT NULL THEN 'erased:' || encode(erased_hash(email_key), 'hex') END
    WHERE person_id = :person_id OR email_key = ANY(:keys)
""")
UNBLOCK = about("""
    -- What was blocked stays so by its hash. By blocked_address_email_key_key.
    DELETE FROM blocked_address WHERE email_key = ANY(:keys)
""")

EMPTY_PROBLEMS = about("""
    -- A scan: problems are few, and gone with their import.
    UPDATE import_problem AS i SET detail = 'erased'
    WHERE EXISTS (SELECT FROM unnest(:words) AS word WHERE position(word IN lower(i.detail)) > 0)
""")
EMPTY_TESTS = about("""
    -- A scan: tests are few.
    UPDATE test_message
    SET addresses = ARRAY(SELECT a FROM unnest(addresses) AS a WHERE lower(a) <> ALL (:emails))
    WHERE EXISTS (SELECT FROM unnest(addresses) AS a WHERE lower(a) = ANY(:emails))
""")
FORGET_ANSWERS = about("""
    -- Answers that are kept for replays hold what was asked for. A scan of a day's POSTs.
    DELETE FROM idempotent_answer AS i
    WHERE CASE WHEN headers ->> 'content-type' LIKE 'application/json%' THEN EXISTS (
        SELECT FROM unnest(:words) AS word WHERE position(word IN lower(convert_from(i.body, 'UTF8'))) > 0) END
""")
EMPTY_EVENTS = about("""
    -- By event_person_idx.
    UPDATE event SET data = data - 'external_id' WHERE person_id = :person_id AND data ? 'external_id'
""")

DELETE_PERSON = about("""
    -- With what hangs on it: further addresses, interests, subscriptions, consent states, memberships.
    DELETE FROM person WHERE id = :person_id
""")

EMPTY_AUDIT = about("""
    -- Who did what when, and which columns, stays. By audit_log_person_idx and audit_log_address_idx.
    UPDATE audit_log SET address = NULL,
        before = (SELECT jsonb_object_agg(key, NULL) FROM jsonb_object_keys(before) AS key),
        after = (SELECT jsonb_object_agg(key, NULL) FROM jsonb_object_keys(after) AS key)
    WHERE person_id = :person_id OR address = ANY(:keys)
""")

STEPS = {
    "addresses": FORBID,
    "sources": EMPTY_SOURCES,
    "engagement": EMPTY_ENGAGEMENT,
    "bounces": EMPTY_BOUNCES,
    "inbound_messages": EMPTY_MESSAGES,
    "recipients": EMPTY_LINES,
    "pasted_addresses": DELETE_PASTED,
    "exports": DELETE_EXPORTS,
    "blocked_addresses": UNBLOCK,
    "import_problems": EMPTY_PROBLEMS,
    "test_messages": EMPTY_TESTS,
    "answers": FORGET_ANSWERS,
    "events": EMPTY_EVENTS,
    "persons": DELETE_PERSON,
    "consents": EMPTY_LEDGER,
    "audit_log": EMPTY_AUDIT,
}
"""In the order in which they run: sources are found by lines, the ledger after the states that refer to it."""

RECORD = text("""
    -- That there was an erasure, by whom and why, is proof of having done it.
    INSERT INTO audit_log (actor, actor_name, request_id, action, entity, entity_id, person_id, after)
    SELECT coalesce(a.actor ->> 'who', 'database:' || current_user), a.actor ->> 'name', a.actor ->> 'request_id',
           'erased', 'person', cast(:person_id AS text), :person_id, cast(:after AS jsonb)
    FROM (SELECT coalesce(nullif(current_setting('budstikke.actor', true), ''), '{}')::jsonb AS actor) AS a
""").bindparams(sa.bindparam("person_id", type_=sa.BigInteger), sa.bindparam("after", type_=sa.JSON))

SHARED = about("""
    -- Other persons who have one of the addresses: nothing is sent to them there any more either.
    SELECT count(*) AS persons FROM (
        SELECT id FROM person WHERE email_key = ANY(:keys) AND id <> :person_id
        UNION SELECT person_id FROM person_email WHERE email_key = ANY(:keys) AND person_id <> :person_id
    ) AS others
""")
