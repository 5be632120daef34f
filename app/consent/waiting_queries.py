"""Taking lines that wait out of mailings, at once (D47); the slice that owns the list lies above, so in plain SQL."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.plans import by_key

_THEIRS = """
    SELECT r.id FROM recipient AS r WHERE r.person_id = ANY(:persons)
    UNION SELECT r.id FROM company AS c
    JOIN recipient AS r ON r.person_id IS NULL AND r.email_key = c.email_key AND r.company_id = c.id
    WHERE c.id = ANY(:companies)
    UNION SELECT r.id FROM person AS p JOIN recipient AS r ON r.person_id = p.id WHERE p.email_key = ANY(:keys)
    UNION SELECT r.id FROM person_email AS e JOIN recipient AS r ON r.person_id = e.person_id
    WHERE e.email_key = ANY(:keys)
    UNION SELECT r.id FROM recipient AS r WHERE r.person_id IS NULL AND r.email_key = ANY(:keys)
"""
_WAITS = """
    r.status IN ('ready', 'deferred') AND m.state IN ('draft', 'scheduled', 'preparing', 'sending', 'stopped', 'failed')
"""

IS_BLOCKED = """(
    EXISTS (SELECT FROM blocked_address AS b WHERE b.email_key = r.email_key)
    OR EXISTS (SELECT FROM erased_address)
       AND EXISTS (SELECT FROM erased_address AS e WHERE e.hash = erased_hash(r.email_key))
)"""
"""Whether nothing may go to the address of `r`. By blocked_address_email_key_key; costs nothing for erased addresses
while there are none."""

_TAKE_OUT = text(f"""
    -- Judges the lines of persons, companies and addresses that wait in unfinished mailings again, by the rules that
    -- are asked about, in their order (D21, D24), and blocks those that may not be sent any more; answers how many.
    -- One statement for all, and in key order, so that two of them never wait for each other in a circle.
    -- By recipient_person_idx, recipient_stranger_idx, person_email_key_idx, person_email_email_key_idx: no index knows
    -- the addresses of all lines, since it would double the cost of populating. So a line that was made for a person
    -- before the address was changed is found by the person only; senders look at addresses once more (_BAR).
    WITH theirs AS ({_THEIRS}), waiting AS (
        SELECT r.id, why.reason
        FROM theirs JOIN recipient AS r USING (id) JOIN mailing AS m ON m.id = r.mailing_id
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN :address AND {IS_BLOCKED} THEN 'blocked_address'
                WHEN :employment AND EXISTS (
                    SELECT FROM person AS p WHERE p.id = r.person_id AND p.former_employee
                ) THEN 'former_employee'
                WHEN m.override_consent OR coalesce(r.person_id, r.company_id) IS NULL THEN NULL
                WHEN :consent AND NOT EXISTS (
                    SELECT FROM consent_state AS s
                    WHERE s.person_id = r.person_id AND s.purpose = 'e_marketing' AND s.given
                      AND (s.valid_until IS NULL OR s.valid_until > now())
                    UNION ALL
                    SELECT FROM company_consent_state AS s
                    WHERE s.company_id = r.company_id AND r.person_id IS NULL AND s.purpose = 'e_marketing' AND s.given
                      AND (s.valid_until IS NULL OR s.valid_until > now())
                ) THEN 'no_consent'
                WHEN :subscription AND NOT EXISTS (
                    SELECT FROM subscription AS s
                    WHERE s.person_id = r.person_id AND s.subscribed
                      AND s.subscription_type_id = coalesce(m.subscription_type_id, s.subscription_type_id)
                    UNION ALL
                    SELECT FROM company_subscription AS s
                    WHERE s.company_id = r.company_id AND r.person_id IS NULL AND s.subscribed
                      AND s.subscription_type_id = coalesce(m.subscription_type_id, s.subscription_type_id)
                ) THEN 'no_subscription'
            END AS reason
        ) AS why
        WHERE {_WAITS} AND why.reason IS NOT NULL
        ORDER BY r.mailing_id, r.id FOR NO KEY UPDATE OF r
    )
    UPDATE recipient AS r SET status = 'blocked', reason = w.reason, due_at = NULL FROM waiting AS w
    WHERE r.id = w.id
""")
_LISTS = tuple(sa.bindparam(name, type_=sa.ARRAY(sa.BigInteger)) for name in ("persons", "companies"))
_KEYS = sa.bindparam("keys", type_=sa.ARRAY(sa.Text))
_TAKE_OUT = _TAKE_OUT.bindparams(
    *_LISTS, _KEYS,
    *(sa.bindparam(name, type_=sa.Boolean) for name in ("address", "employment", "consent", "subscription")),
)  # fmt: skip

_WAITING = text(f"""
    -- Whether a line for an address waits in an unfinished mailing. See _TAKE_OUT.
    SELECT EXISTS (
        SELECT FROM ({_THEIRS}) AS theirs JOIN recipient AS r USING (id) JOIN mailing AS m ON m.id = r.mailing_id
        WHERE {_WAITS} AND r.email_key = ANY(:keys)
    ) AS waiting
""").bindparams(*_LISTS, _KEYS)


async def take_out(
    session: AsyncSession,
    *,
    person_ids: Sequence[int] = (),
    company_ids: Sequence[int] = (),
    email_keys: Sequence[str] = (),
    address: bool = False,
    employment: bool = False,
    consent: bool = False,
    subscription: bool = False,
) -> int:
    """Block what waits in unfinished mailings and may not be sent any more (D47); return how many lines.

    `address`, `employment`, `consent` and `subscription` say which rules are judged again. Mailings that override
    consent keep whom it is about consent and subscriptions only (D21).
    """
    async with by_key(session):
        done = await run(
            session, _TAKE_OUT, persons=list(person_ids), companies=list(company_ids), keys=list(email_keys),
            address=address, employment=employment, consent=consent, subscription=subscription,
        )  # fmt: skip
    return done.rowcount


async def anything_waits_for(session: AsyncSession, *, email_key: str) -> bool:
    """Tell whether a line for this address waits in an unfinished mailing."""
    async with by_key(session):
        return bool((await run(session, _WAITING, persons=[], companies=[], keys=[email_key])).one().waiting)
