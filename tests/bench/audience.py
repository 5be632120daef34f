"""Persons who may get a mailing, made inside PostgreSQL: a million in seconds, all with consent and subscription."""

from typing import Any

import asyncpg

_ADD_PERSONS = """
    WITH added AS (
        INSERT INTO person (external_id, name, first_name, last_name, email, email_key)
        SELECT 'bench-' || n, 'Åse Ødegård ' || n, 'Åse', 'Ødegård ' || n,
               'aase.' || n || '@' || m.domain, 'aase.' || n || '@' || m.domain
        FROM generate_series($4::bigint + 1, $4::bigint + $1::bigint) AS n
        CROSS JOIN LATERAL (SELECT 'mail' || n % 500 || '.example.com' AS domain) AS m
        RETURNING id
    ), consenting AS (
        INSERT INTO consent (person_id, purpose, action, legal_basis, source)
        SELECT id, 'e_marketing', 'given', 'consent', 'bench' FROM added
        RETURNING id, person_id
    ), subscribed AS (
        INSERT INTO subscription (person_id, subscription_type_id, subscribed, source)
        SELECT id, $2, true, 'bench' FROM added
    ), selected AS (
        INSERT INTO selection_member (selection_id, person_id) SELECT $3, id FROM added
    )
    INSERT INTO consent_state (person_id, purpose, given, consent_id)
    SELECT person_id, 'e_marketing', true, id FROM consenting
"""


_ADD_TYPE = """
    INSERT INTO subscription_type (name) SELECT 'News ' || count(*) FROM subscription_type RETURNING id
"""


async def add_audience(connection: "asyncpg.Connection[Any]", *, persons: int) -> tuple[int, int]:
    """Add persons with consent; return the ids of the subscription type and of the selection that they are in."""
    async with connection.transaction():
        type_id: int = await connection.fetchval(_ADD_TYPE)
        selection_id: int = await connection.fetchval("INSERT INTO selection (name) VALUES ('All') RETURNING id")
        # The foreign keys are checked row by row at the end; all rows come from one statement, so nothing can be amiss.
        await connection.execute("SET LOCAL session_replication_role = replica")
        already: int = await connection.fetchval("SELECT count(*) FROM person")
        await connection.execute(_ADD_PERSONS, persons, type_id, selection_id, already)
    await connection.execute("VACUUM ANALYZE")
    return type_id, selection_id
