"""SQL of the export: a SELECT of JSON lines for each section, in the order of time."""

from app.privacy.knowing_queries import about

SECTIONS = {
    "emails": about("SELECT to_jsonb(e) AS line FROM person_email AS e WHERE person_id = :person_id ORDER BY id"),
    "interests": about("""
        SELECT to_jsonb(i) AS line FROM person_interest AS p JOIN interest AS i ON i.id = p.interest_id
        WHERE p.person_id = :person_id ORDER BY i.id
    """),
    "selections": about("""
        SELECT jsonb_build_object('id', s.id, 'name', s.name) AS line
        FROM selection_member AS m JOIN selection AS s ON s.id = m.selection_id
        WHERE m.person_id = :person_id ORDER BY s.id
    """),
    "projects": about("""
        SELECT jsonb_build_object('id', p.id, 'name', p.name, 'external_id', p.external_id) AS line
        FROM project_member AS m JOIN project AS p ON p.id = m.project_id
        WHERE m.person_id = :person_id ORDER BY p.id
    """),
    "subscriptions": about("""
        SELECT to_jsonb(s) || jsonb_build_object('name', t.name) AS line
        FROM subscription AS s JOIN subscription_type AS t ON t.id = s.subscription_type_id
        WHERE s.person_id = :person_id ORDER BY t.id
    """),
    # by consent_person_purpose_idx and consent_address_idx
    "consents": about("""
        SELECT to_jsonb(c) AS line FROM consent AS c
        WHERE person_id = :person_id OR email_key = ANY(:keys) ORDER BY id
    """),
    "mailings": about("""
        SELECT to_jsonb(r) - 'seq' || jsonb_build_object('mailing', m.name, 'subject', m.subject) AS line
        FROM recipient AS r LEFT JOIN mailing AS m ON m.id = r.mailing_id
        WHERE r.id = ANY(:lines) ORDER BY r.id
    """),
    "engagement": about("""
        SELECT to_jsonb(e) || jsonb_build_object('target', l.target) AS line
        FROM engagement AS e LEFT JOIN link AS l ON l.id = e.link_id
        WHERE e.recipient_id = ANY(:lines) ORDER BY e.occurred_at, e.id
    """),
    # by action_run_once_idx
    "action_runs": about("""
        SELECT to_jsonb(r) AS line FROM action_run AS r WHERE recipient_id = ANY(:lines) ORDER BY id
    """),
    "follow_ups": about("SELECT to_jsonb(f) AS line FROM follow_up AS f WHERE person_id = :person_id ORDER BY id"),
    "requests": about("SELECT to_jsonb(r) AS line FROM request AS r WHERE person_id = :person_id ORDER BY id"),
    "bounces": about("SELECT to_jsonb(b) AS line FROM bounce AS b WHERE recipient_id = ANY(:lines) ORDER BY id"),
    "blocked_addresses": about("""
        SELECT to_jsonb(b) AS line FROM blocked_address AS b WHERE email_key = ANY(:keys) ORDER BY id
    """),
    "pasted_addresses": about("""
        SELECT to_jsonb(a) || jsonb_build_object('mailing_id', s.mailing_id, 'added_at', s.created_at) AS line
        FROM source_address AS a JOIN mailing_source AS s ON s.id = a.source_id
        WHERE a.email_key = ANY(:keys) ORDER BY a.source_id, a.position
    """),
    # a scan: problems are few
    "import_problems": about("""
        SELECT to_jsonb(i) AS line FROM import_problem AS i
        WHERE EXISTS (SELECT FROM unnest(:words) AS word WHERE position(word IN lower(i::text)) > 0) ORDER BY id
    """),
    "events": about("""
        SELECT jsonb_build_object('id', seq, 'type', type, 'occurred_at', occurred_at, 'data', data) AS line
        FROM event WHERE person_id = :person_id ORDER BY id
    """),
    "audit_log": about("""
        SELECT to_jsonb(a) - 'bulk' AS line FROM audit_log AS a
        WHERE person_id = :person_id OR address = ANY(:keys) ORDER BY id
    """),
}

PERSON = about("SELECT to_jsonb(p) AS line FROM person AS p WHERE id = :person_id")
COMPANY = about("""
    SELECT to_jsonb(c) AS line FROM person AS p JOIN company AS c ON c.id = p.company_id WHERE p.id = :person_id
""")
