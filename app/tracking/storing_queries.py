"""Storing engagement: the functions that live in the drainer's session (D45; decisions 27, 29)."""

from app.tracking.action_queries import ENTER_RUNS
from app.tracking.verdicts import (
    AROUND_SECONDS,
    BURST,
    BURST_LINKS,
    BURST_LOOKBACK,
    BURST_SECONDS,
    BURST_SMALLEST_MAILING,
    HONEYPOT,
    NEAR_HONEYPOT,
    PROBED,
    RULE_VERSION,
    TOO_SOON,
)

RECORDER_LOCK = 0x42554453  # an advisory lock's key, taken by nothing else

DRAIN = "SELECT pg_temp.drain_engagement($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
"""Store a batch of a spool: (owner, number before, number after, columns …); returns the number it is drained to."""

DRAINED = "SELECT coalesce((SELECT drained FROM engagement_spool WHERE owner = $1), 0)"

FINISHED = "UPDATE engagement_spool SET finished_at = now() WHERE owner = $1"

FORGET_FINISHED = """
    -- The rows of spools that were deleted: kept for a month, since a copy of the directory may be brought back.
    DELETE FROM engagement_spool WHERE finished_at < now() - interval '30 days'
"""

# A recipient's latest clicks around those of the group: engagement_recipient_idx, read backwards.
_CLICKS_AROUND = f"""
    (
        SELECT recipient_id, min(moment) AS since, max(moment) AS until
        FROM unnest(kinds, recipient_ids, moments) AS e (kind, recipient_id, moment)
        WHERE kind = 'click' GROUP BY recipient_id
    ) AS g
    CROSS JOIN LATERAL (
        SELECT id, mailing_id, link_id, occurred_at, method, user_agent, reasons
        FROM engagement
        WHERE recipient_id = g.recipient_id AND kind = 'click'
          AND occurred_at BETWEEN g.since - interval '{AROUND_SECONDS} s' AND g.until + interval '{AROUND_SECONDS} s'
        ORDER BY occurred_at DESC LIMIT {BURST_LOOKBACK}
    ) AS c
"""

DEFINE_STORE = f"""
-- Stores a group of events with their verdicts, judges bursts, and sets the recipients' marks: one call, one commit.
-- It lives in the session (pg_temp), so that two versions of the service, with different rules, run side by side.
-- Every statement finds its rows by key; each must see what the one before it did, so they stay apart.
CREATE FUNCTION pg_temp.store_engagement(
    kinds text[], mailing_ids bigint[], recipient_ids bigint[], link_ids bigint[], moments timestamptz[],
    methods text[], agents text[], verdicts text[], reason_lists text[], machine_seconds double precision,
    track_unknown boolean
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
    traps bigint[];
    suspects bigint[];
    rejudged bigint[];
BEGIN
    -- Groups of several processes go one after another, each seeing what was stored before: a burst spread over
    -- processes is seen whole by the last of them, and two groups never wait for each other in a circle. They would
    -- queue for the rows of the tally anyway.
    PERFORM pg_advisory_xact_lock({RECORDER_LOCK});

    ids := ARRAY(
        SELECT nextval(pg_get_serial_sequence('engagement', 'id')) FROM generate_series(1, cardinality(kinds))
    );

    -- The few honeypots that were followed; by link_honeypot_idx.
    traps := ARRAY(SELECT id FROM link WHERE honeypot AND id = ANY (link_ids));

    -- Nothing is stored of a person who does not want it by now, whatever was when the message left (D43): by
    -- consent_state's key. An open of a recipient who is gone belongs to no mailing any more; a click does, by its
    -- link.
    INSERT INTO engagement (
        id, kind, mailing_id, recipient_id, link_id, occurred_at, method, user_agent, verdict, reasons, rule_version
    )
    SELECT e.id, e.kind, coalesce(e.mailing_id, r.mailing_id), e.recipient_id, e.link_id, e.moment, e.method, e.agent,
           CASE WHEN s.soon OR e.link_id = ANY (traps) THEN 'machine' ELSE e.verdict END,
           string_to_array(e.reasons, ',') || CASE WHEN s.soon THEN ARRAY['{TOO_SOON}'] ELSE ARRAY[]::text[] END
               || CASE WHEN e.link_id = ANY (traps) THEN ARRAY['{HONEYPOT}'] ELSE ARRAY[]::text[] END,
           {RULE_VERSION}
    FROM unnest(ids, kinds, mailing_ids, recipient_ids, link_ids, moments, methods, agents, verdicts, reason_lists)
        AS e (id, kind, mailing_id, recipient_id, link_id, moment, method, agent, verdict, reasons)
    LEFT JOIN recipient AS r ON r.id = e.recipient_id
    LEFT JOIN consent_state AS c ON c.person_id = r.person_id
        AND c.purpose = CASE e.kind WHEN 'open' THEN 'track_opens' ELSE 'track_clicks' END
    CROSS JOIN LATERAL (
        SELECT machine_seconds > 0 AND CASE
            WHEN r.sent_at IS NULL THEN r.status = 'ready' ELSE e.moment < r.sent_at + machine_seconds * interval '1 s'
        END AS soon
    ) AS s
    WHERE coalesce(e.mailing_id, r.mailing_id) IS NOT NULL
        AND coalesce(c.given AND (c.valid_until IS NULL OR c.valid_until > e.moment), track_unknown);

    SELECT array_agg(recipient_id) INTO suspects FROM (
        SELECT g.recipient_id FROM {_CLICKS_AROUND}
        GROUP BY g.recipient_id
        HAVING count(DISTINCT c.link_id) >= {BURST_SMALLEST_MAILING}
            OR bool_or(c.method = 'HEAD') OR bool_or('{HONEYPOT}' = ANY (c.reasons))
    ) AS several;

    IF suspects IS NOT NULL THEN
        WITH around AS (
            SELECT g.recipient_id, c.* FROM {_CLICKS_AROUND} WHERE g.recipient_id = ANY (suspects)
        ), needed AS (
            -- How many different links make a burst: all that readers see of a mailing that has few.
            SELECT m.mailing_id, greatest({BURST_SMALLEST_MAILING}, least({BURST_LINKS}, (
                SELECT count(*) FROM (
                    SELECT FROM link WHERE mailing_id = m.mailing_id AND frozen AND NOT honeypot LIMIT {BURST_LINKS}
                ) AS l
            ))) AS links
            FROM (SELECT DISTINCT mailing_id FROM around) AS m
        ), bursts AS (
            -- Stretches of time, each from a click on, in which so many were clicked.
            SELECT a.recipient_id, a.occurred_at AS since
            FROM around AS a
            JOIN needed AS n USING (mailing_id)
            JOIN around AS b ON b.recipient_id = a.recipient_id
                AND b.occurred_at BETWEEN a.occurred_at AND a.occurred_at + interval '{BURST_SECONDS} s'
            GROUP BY a.id, a.recipient_id, a.occurred_at, n.links HAVING count(DISTINCT b.link_id) >= n.links
        ), found AS (
            SELECT a.id, '{BURST}' AS reason
            FROM around AS a JOIN bursts AS s ON s.recipient_id = a.recipient_id
                AND a.occurred_at BETWEEN s.since AND s.since + interval '{BURST_SECONDS} s'
            UNION
            SELECT a.id, '{NEAR_HONEYPOT}'
            FROM around AS a JOIN around AS t ON t.recipient_id = a.recipient_id AND '{HONEYPOT}' = ANY (t.reasons)
                AND a.occurred_at BETWEEN t.occurred_at - interval '{AROUND_SECONDS} s'
                    AND t.occurred_at + interval '{AROUND_SECONDS} s'
            WHERE NOT '{HONEYPOT}' = ANY (a.reasons)
            UNION
            SELECT a.id, '{PROBED}'
            FROM around AS a JOIN around AS h ON h.recipient_id = a.recipient_id AND h.link_id = a.link_id
                AND h.user_agent = a.user_agent AND h.method = 'HEAD'
                AND a.occurred_at BETWEEN h.occurred_at AND h.occurred_at + interval '{AROUND_SECONDS} s'
            WHERE a.method <> 'HEAD'
        ), judged AS (
            UPDATE engagement AS e
            SET verdict = 'machine', rule_version = {RULE_VERSION},
                reasons = e.reasons || ARRAY(SELECT unnest(f.reasons) EXCEPT SELECT unnest(e.reasons) ORDER BY 1)
            FROM (SELECT id, array_agg(reason) AS reasons FROM found GROUP BY id) AS f
            WHERE e.id = f.id AND NOT e.reasons @> f.reasons
            RETURNING e.id
        )
        SELECT array_agg(id) INTO rejudged FROM judged;

        -- A mark that stood for a click now judged a machine's moves to the first human click, if there is one.
        UPDATE recipient AS r
        SET clicked_at = (
            SELECT min(occurred_at) FROM engagement
            WHERE recipient_id = r.id AND kind = 'click' AND verdict = 'human'
        )
        FROM (
            SELECT recipient_id, min(occurred_at) AS since, max(occurred_at) AS until
            FROM engagement WHERE id = ANY (rejudged) GROUP BY recipient_id
        ) AS m
        WHERE r.id = m.recipient_id AND r.clicked_at BETWEEN m.since AND m.until;
    END IF;

    -- Marks are the times of the first event of their kind; a repeat writes nothing.
    UPDATE recipient AS r
    SET opened_at = least(r.opened_at, m.opened), machine_opened_at = least(r.machine_opened_at, m.machine_opened),
        clicked_at = least(r.clicked_at, m.clicked), machine_clicked_at = least(r.machine_clicked_at, m.machine_clicked)
    FROM (
        SELECT recipient_id,
               min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'human') AS opened,
               min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'machine') AS machine_opened,
               min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'human') AS clicked,
               min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'machine') AS machine_clicked
        FROM engagement WHERE id = ANY (ids || rejudged) GROUP BY recipient_id
    ) AS m
    WHERE r.id = m.recipient_id AND (
        m.opened < coalesce(r.opened_at, 'infinity') OR m.machine_opened < coalesce(r.machine_opened_at, 'infinity')
        OR m.clicked < coalesce(r.clicked_at, 'infinity')
        OR m.machine_clicked < coalesce(r.machine_clicked_at, 'infinity')
    );

    {ENTER_RUNS}
END $$
"""

DEFINE_DRAIN = """
-- Stores what a spool has from number `before` to `upto`, and that it is drained so far: both or neither. Returns how
-- far it is drained; where that is not `upto`, nothing was stored, since somebody stored it before.
CREATE FUNCTION pg_temp.drain_engagement(
    spool text, before bigint, upto bigint, kinds text[], mailing_ids bigint[], recipient_ids bigint[],
    link_ids bigint[], moments timestamptz[], methods text[], agents text[], verdicts text[], reason_lists text[],
    machine_seconds double precision, track_unknown boolean
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    UPDATE engagement_spool SET drained = upto, updated_at = now(), finished_at = NULL
    WHERE owner = spool AND drained = before;
    IF NOT FOUND THEN
        INSERT INTO engagement_spool (owner, drained) SELECT spool, upto WHERE before = 0 ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN coalesce((SELECT drained FROM engagement_spool WHERE owner = spool), 0);
        END IF;
    END IF;
    IF cardinality(kinds) > 0 THEN
        PERFORM pg_temp.store_engagement(
            kinds, mailing_ids, recipient_ids, link_ids, moments, methods, agents, verdicts, reason_lists,
            machine_seconds, track_unknown
        );
    END IF;
    RETURN upto;
END $$
"""
