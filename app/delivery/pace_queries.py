"""SQL of pacing: which limits there are, leasing from budgets, slowing down, keeping recipients back (D31).

Every time is PostgreSQL's: what a worker's clock does is of no effect.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery.pace_models import DestinationLimit
from app.platform.db import run

RECOVERY_SECONDS = 600.0  # from nothing to the rate before: a provider's view of a sender changes within minutes
CUT_SECONDS = 5.0  # one cut for all that a burst meets: what was on its way when the first refusal came
SLOWEST = 0.05  # messages a second; below one in twenty seconds nothing would be learned

RATE_NOW = """least(s.peak, s.rate + s.peak * extract(epoch FROM now() - s.cut_at)::float8 / :recovery)"""
IS_SLOWED = f"({RATE_NOW} < s.peak)"

_LIMITS = text(f"""
    -- Every limit that a mailing's senders must keep to. Small tables, and one row by primary key: once a second each.
    SELECT 'mailing' AS kind, '' AS name, NULL::float8 AS per_second, max_per_hour AS per_hour, NULL::int AS per_day
    FROM mailing WHERE id = :mailing_id AND max_per_hour IS NOT NULL
    UNION ALL
    SELECT 'account', id::text, max_per_second, max_per_hour,
           least(max_per_day, CASE WHEN warm_up_from IS NOT NULL THEN
               greatest(1, least(2e9, warm_up_first_day * power(
                   greatest(warm_up_growth, 1)::float8,
                   least(greatest((now() AT TIME ZONE 'UTC')::date - warm_up_from, 0), 365)))) END)::int
    FROM sending_account
    WHERE max_per_second IS NOT NULL OR max_per_hour IS NOT NULL OR max_per_day IS NOT NULL OR warm_up_from IS NOT NULL
    UNION ALL
    SELECT 'domain', domain, max_per_second, max_per_hour, NULL FROM destination_limit
    UNION ALL
    SELECT 'slowed', s.domain, {RATE_NOW}, NULL, NULL FROM slowed_destination AS s WHERE {IS_SLOWED}
""").bindparams(sa.bindparam("recovery", value=RECOVERY_SECONDS))

_ADD_KEYS = text("INSERT INTO pace (key) SELECT unnest(:keys) ON CONFLICT DO NOTHING").bindparams(
    sa.bindparam("keys", type_=sa.ARRAY(sa.Text))
)

_LEASE = text("""
    -- Leases messages from budgets: for each key at most `want`, and what its limits leave; answers how many, and in
    -- how many seconds there will be another. One row lock per key, taken in the order of keys, so that no two senders
    -- wait for each other in a circle; the clock is read behind the lock.
    -- A budget by the second or by the hour is a time: the one at which it is whole again. Each message moves it by
    -- `gap`; it may be at most `slack` ahead of the clock (GCRA). A budget by the day is a count, begun anew at
    -- midnight UTC. A clock that was set back must not close a budget for long: none is ahead by more than its period.
    WITH asked AS (
        SELECT * FROM unnest(:keys, :wants, :second_gaps, :second_slacks, :hour_gaps, :hour_slacks, :days)
            AS a (key, want, second_gap, second_slack, hour_gap, hour_slack, per_day)
    ), locked AS MATERIALIZED (
        SELECT a.*, p.second_at, p.hour_at, p.day, p.used
        FROM pace AS p JOIN asked AS a ON a.key = p.key ORDER BY p.key FOR UPDATE OF p
    ), seen AS MATERIALIZED (
        SELECT l.*, clock_timestamp() AS at FROM locked AS l
    ), ahead AS (
        SELECT s.*, (at AT TIME ZONE 'UTC')::date AS today,
               least(greatest(extract(epoch FROM second_at - at), 0), 1 + second_gap)::float8 AS second_ahead,
               least(greatest(extract(epoch FROM hour_at - at), 0), 3600)::float8 AS hour_ahead
        FROM seen AS s
    ), granted AS (
        SELECT h.*, greatest(0, least(
            want,
            CASE WHEN second_gap > 0 THEN floor((second_slack - coalesce(second_ahead, 0)) / second_gap + 1e-6) + 1 END,
            CASE WHEN hour_gap > 0 THEN floor((hour_slack - coalesce(hour_ahead, 0)) / hour_gap + 1e-6) + 1 END,
            per_day - CASE WHEN day = today THEN used ELSE 0 END
        ))::int AS granted
        FROM ahead AS h
    )
    UPDATE pace AS p
    SET second_at = CASE WHEN g.second_gap > 0
            THEN g.at + make_interval(secs => coalesce(g.second_ahead, 0) + g.granted * g.second_gap) END,
        hour_at = CASE WHEN g.hour_gap > 0
            THEN g.at + make_interval(secs => coalesce(g.hour_ahead, 0) + g.granted * g.hour_gap) END,
        day = g.today, used = CASE WHEN p.day = g.today THEN p.used ELSE 0 END + g.granted
    FROM granted AS g WHERE p.key = g.key
    RETURNING p.key, g.granted,
        greatest(
            0,
            coalesce(g.second_ahead, 0) + g.granted * g.second_gap - g.second_slack,
            coalesce(g.hour_ahead, 0) + g.granted * g.hour_gap - g.hour_slack,
            CASE WHEN p.used >= g.per_day
                THEN extract(epoch FROM (g.today + 1)::timestamp AT TIME ZONE 'UTC' - g.at) END
        )::float8 AS wait
""").bindparams(
    sa.bindparam("keys", type_=sa.ARRAY(sa.Text)),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.Integer)) for name in ("wants", "days")),
    *(
        sa.bindparam(name, type_=sa.ARRAY(sa.Float))
        for name in ("second_gaps", "second_slacks", "hour_gaps", "hour_slacks")
    ),
)

_SLOW_DOWN = text(f"""
    -- Halves the rate of a destination that asked for less; a first time, of what was sent to it (`measured`). Refusals
    -- within CUT_SECONDS of a cut belong to it: they met messages that were already on their way.
    INSERT INTO slowed_destination AS s (domain, rate, peak, code, words)
    VALUES (:domain, greatest(:measured / 2, :slowest), greatest(:measured, 2 * :slowest), :code, :words)
    ON CONFLICT (domain) DO UPDATE
    SET since = CASE WHEN {IS_SLOWED} THEN s.since ELSE now() END,
        cuts = CASE WHEN {IS_SLOWED} THEN s.cuts + 1 ELSE 1 END,
        peak = CASE WHEN {IS_SLOWED} THEN s.peak ELSE excluded.peak END,
        rate = CASE WHEN {IS_SLOWED} THEN greatest({RATE_NOW} / 2, :slowest) ELSE excluded.rate END,
        cut_at = now(), code = excluded.code, words = excluded.words
    WHERE s.cut_at < now() - make_interval(secs => :cut)
""").bindparams(
    sa.bindparam("recovery", value=RECOVERY_SECONDS),
    sa.bindparam("cut", value=CUT_SECONDS),
    sa.bindparam("slowest", value=SLOWEST, type_=sa.Float),
    sa.bindparam("measured", type_=sa.Float),
    sa.bindparam("code", type_=sa.Integer),
)

_LOCK = text("""
    -- Locks a dispatch, and those of a sender's chunks that are still its own: until the commit nobody takes them over,
    -- and nobody else gives out places behind the list. Chunks first, as flushes do.
    WITH ours AS (
        SELECT c.number FROM unnest(:numbers, :epochs) AS v (number, epoch)
        JOIN chunk AS c ON c.dispatch_id = :dispatch_id AND c.number = v.number AND c.epoch = v.epoch
        WHERE c.owner = :owner ORDER BY c.number FOR UPDATE OF c
    ), locked AS (
        SELECT id FROM dispatch WHERE id = :dispatch_id AND (SELECT count(*) FROM ours) >= 0 FOR UPDATE
    )
    SELECT number FROM ours, locked
""").bindparams(*(sa.bindparam(name, type_=sa.ARRAY(sa.Integer)) for name in ("numbers", "epochs")))

_KEEP_BACK = text("""
    -- Puts recipients behind the list, in a chunk for each destination: out of the chunk that has them, and of its
    -- window, so that neither waits for them. They were not started: the caller holds the locks of _LOCK, and gives
    -- none of them to a connection any more. Finds them by primary key.
    WITH behind AS (
        SELECT r.id, v.destination,
               greatest(d.last_seq, (SELECT max(seq) FROM recipient WHERE mailing_id = d.mailing_id))
               + row_number() OVER (ORDER BY v.destination, r.seq) AS seq
        FROM unnest(:ids, :destinations) AS v (id, destination)
        JOIN recipient AS r ON r.id = v.id
        JOIN dispatch AS d ON d.id = :dispatch_id AND d.mailing_id = r.mailing_id
        WHERE r.status = 'ready'
    ), moved AS (
        UPDATE recipient AS r SET seq = behind.seq FROM behind WHERE r.id = behind.id AND r.status = 'ready'
    ), reached AS (
        UPDATE dispatch SET last_seq = (SELECT max(seq) FROM behind)
        WHERE id = :dispatch_id AND EXISTS (SELECT FROM behind)
    )
    INSERT INTO chunk (dispatch_id, number, first_seq, last_seq, window_end, destination, not_before)
    SELECT :dispatch_id, (SELECT max(number) FROM chunk WHERE dispatch_id = :dispatch_id)
                         + row_number() OVER (ORDER BY destination),
           min(seq), max(seq), min(seq) - 1, destination, now() + make_interval(secs => min(w.wait))
    FROM behind LEFT JOIN unnest(:waiting, :waits) AS w (destination, wait) USING (destination) GROUP BY destination
""").bindparams(
    sa.bindparam("dispatch_id", type_=sa.BigInteger),
    sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)),
    sa.bindparam("destinations", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("waiting", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("waits", type_=sa.ARRAY(sa.Float)),
)

_REST = text("""
    -- Gives a chunk back until there is budget for it, and closes its window: nothing of it is in doubt.
    UPDATE chunk SET owner = NULL, lease_until = NULL, window_end = first_seq - 1,
                     not_before = now() + make_interval(secs => :wait)
    WHERE dispatch_id = :dispatch_id AND number = :number AND epoch = :epoch AND owner = :owner AND done_at IS NULL
""")

_REST_DISPATCH = text("""
    -- No sender is needed before there is budget for the mailing.
    UPDATE dispatch SET rest_until = now() + make_interval(secs => :wait) WHERE id = :dispatch_id
""")

_FORGET = text(f"""
    -- Forgets destinations that have long recovered, and budgets that nobody has asked for two days.
    WITH slowed AS (
        DELETE FROM slowed_destination AS s WHERE NOT {IS_SLOWED} AND s.cut_at < now() - interval '1 day'
    )
    DELETE FROM pace WHERE day < (now() AT TIME ZONE 'UTC')::date - 2
""").bindparams(sa.bindparam("recovery", value=RECOVERY_SECONDS))

_SLOWED = text(f"""
    -- Destinations that are slowed down, by name, with what they may get now and when they are free again.
    SELECT s.domain, s.since, s.cut_at AS asked_at, s.cuts AS times, {RATE_NOW} AS max_per_second, s.code, s.words,
           s.cut_at + make_interval(secs => :recovery * (s.peak - s.rate) / s.peak) AS free_at
    FROM slowed_destination AS s
    WHERE {IS_SLOWED} AND s.domain > :after ORDER BY s.domain LIMIT :limit
""").bindparams(sa.bindparam("recovery", value=RECOVERY_SECONDS, type_=sa.Float))

_RELEASE_SLOWED = text(f"DELETE FROM slowed_destination AS s WHERE s.domain = :domain AND {IS_SLOWED}").bindparams(
    sa.bindparam("recovery", value=RECOVERY_SECONDS)
)


_SET_LIMIT = text("""
    INSERT INTO destination_limit (domain, max_per_second, max_per_hour)
    VALUES (:domain, :max_per_second, :max_per_hour)
    ON CONFLICT (domain) DO UPDATE SET max_per_second = excluded.max_per_second, max_per_hour = excluded.max_per_hour
""").bindparams(sa.bindparam("max_per_second", type_=sa.Float), sa.bindparam("max_per_hour", type_=sa.Integer))


async def set_limit(session: AsyncSession, *, domain: str, fields: dict[str, Any]) -> DestinationLimit:
    """Set a destination's limit, whether it had one or not."""
    await run(session, _SET_LIMIT, domain=domain, **fields)
    return (await session.exec(select(DestinationLimit).where(DestinationLimit.domain == domain))).one()


async def find_limit(session: AsyncSession, *, domain: str) -> DestinationLimit | None:
    """Return the limit that was set for a domain."""
    return (await session.exec(select(DestinationLimit).where(DestinationLimit.domain == domain))).one_or_none()


async def page_of_limits(session: AsyncSession, *, after: str | None, limit: int) -> Sequence[DestinationLimit]:
    """Return at most `limit + 1` limits, by domain."""
    query = select(DestinationLimit).order_by(col(DestinationLimit.domain)).limit(limit + 1)
    return (await session.exec(query.where(col(DestinationLimit.domain) > (after or "")))).all()


async def page_of_slowed(session: AsyncSession, *, after: str | None, limit: int) -> Sequence[Any]:
    """Return at most `limit + 1` destinations that are slowed down, by domain."""
    return (await run(session, _SLOWED, after=after or "", limit=limit + 1)).all()


async def release_slowed(session: AsyncSession, *, domain: str) -> bool:
    """Let a destination go at full speed; return whether it was slowed down."""
    return bool((await run(session, _RELEASE_SLOWED, domain=domain)).rowcount)


async def read_limits(session: AsyncSession, *, mailing_id: int) -> Sequence[Any]:
    """Return the limits in force, as rows of (kind, name, per_second, per_hour, per_day)."""
    return (await run(session, _LIMITS, mailing_id=mailing_id)).all()


async def add_keys(session: AsyncSession, keys: Sequence[str]) -> None:
    """Make budgets that nobody has asked for yet."""
    await run(session, _ADD_KEYS, keys=list(keys))


async def lease(session: AsyncSession, **columns: list[Any]) -> Sequence[Any]:
    """Lease from budgets; returns rows of (key, granted, wait)."""
    return (await run(session, _LEASE, **columns)).all()


async def slow_down(session: AsyncSession, *, domain: str, measured: float, code: int | None, words: str) -> bool:
    """Halve a destination's rate; return whether this was not within the last cut."""
    result = await run(session, _SLOW_DOWN, domain=domain, measured=measured, code=code, words=words)
    return bool(result.rowcount)


async def lock_chunks(
    session: AsyncSession, *, dispatch_id: int, owner: str, chunks: Sequence[tuple[int, int]]
) -> set[int]:
    """Lock a dispatch and chunks (number, epoch) of a sender; return the numbers of those that are its own."""
    numbers, epochs = [number for number, _ in chunks], [epoch for _, epoch in chunks]
    rows = await run(session, _LOCK, dispatch_id=dispatch_id, owner=owner, numbers=numbers, epochs=epochs)
    return {row.number for row in rows}


async def keep_back(
    session: AsyncSession, *, dispatch_id: int, recipients: Sequence[tuple[int, str]], waits: Mapping[str, float]
) -> None:
    """Put recipients (id, destination) behind the list, in chunks of their destination's own; see `lock_chunks`.

    `waits` are the seconds until there is budget for a destination.
    """
    ids, destinations = [one for one, _ in recipients], [destination for _, destination in recipients]
    await run(
        session, _KEEP_BACK, dispatch_id=dispatch_id, ids=ids, destinations=destinations, waiting=list(waits),
        waits=list(waits.values()),
    )  # fmt: skip


async def rest_chunk(
    session: AsyncSession, *, dispatch_id: int, owner: str, number: int, epoch: int, wait: float
) -> None:
    """Give a chunk back until `wait` seconds from now."""
    await run(session, _REST, dispatch_id=dispatch_id, owner=owner, number=number, epoch=epoch, wait=wait)


async def rest_dispatch(session: AsyncSession, *, dispatch_id: int, wait: float) -> None:
    """Let a dispatch have no senders for `wait` seconds."""
    await run(session, _REST_DISPATCH, dispatch_id=dispatch_id, wait=wait)


async def forget_paces(session: AsyncSession) -> None:
    """Delete what is of no use any more."""
    await run(session, _FORGET)
