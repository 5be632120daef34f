"""Where clicks meet link actions: the runs that a click brings about, written with it (D39)."""

ENTER_RUNS = """
    -- The runs of link actions that the group's human clicks bring about: one for each action and recipient, once. They
    -- are committed with the clicks, so nothing is lost whatever is killed, and held until a worker finds the verdict
    -- clear. A response is the answer to the click, and nothing is left to do.
    --
    -- Without actions it costs one look at link by key for each different link of the group: keep it the first
    -- statement, and apart. What ran or waits is left alone; what was dropped gets another chance with a human click.
    DECLARE
        acting bigint[];
    BEGIN
        SELECT array_agg(l.id) INTO acting FROM link AS l
        WHERE l.id IN (SELECT DISTINCT clicked FROM unnest(link_ids) AS clicked) AND l.library_link_id IS NOT NULL
            AND EXISTS (SELECT FROM link_action AS a
                        WHERE a.library_link_id = l.library_link_id AND a.kind <> 'response');
        IF acting IS NOT NULL THEN
            INSERT INTO action_run (
                action_id, kind, library_link_id, recipient_id, mailing_id, link_id, clicked_at
            )
            SELECT action_id, kind, library_link_id, recipient_id, mailing_id, link_id, occurred_at
            FROM (
                SELECT DISTINCT ON (e.recipient_id, a.id) a.id AS action_id, a.kind, a.position, a.library_link_id,
                       e.recipient_id, e.mailing_id, e.link_id, e.occurred_at
                FROM engagement AS e
                JOIN link AS l ON l.id = e.link_id
                JOIN link_action AS a ON a.library_link_id = l.library_link_id AND a.kind <> 'response'
                JOIN recipient AS r ON r.id = e.recipient_id
                WHERE e.id = ANY (ids) AND e.kind = 'click' AND e.verdict = 'human' AND e.link_id = ANY (acting)
                    AND NOT EXISTS (SELECT FROM action_run AS x
                                    WHERE x.recipient_id = e.recipient_id AND x.action_id = a.id
                                        AND x.state <> 'dropped')
                ORDER BY e.recipient_id, a.id, e.occurred_at
            ) AS due
            ORDER BY recipient_id, position, action_id
            ON CONFLICT (recipient_id, action_id) DO UPDATE
            SET state = 'held', due_at = now(), attempts = 0, detail = NULL, clicked_at = excluded.clicked_at,
                mailing_id = excluded.mailing_id, link_id = excluded.link_id
            WHERE action_run.state = 'dropped';
        END IF;
    END;
"""
