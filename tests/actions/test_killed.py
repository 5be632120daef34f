"""Workers that do link actions are killed: each action is done once all the same (D39)."""

import asyncio
import os
import sys

from tests.conftest import ROOT

RUNS = int(os.environ.get("ACTION_RUNS", "600"))
KILLS = int(os.environ.get("ACTION_KILLS", "3"))


async def test_killed_workers_leave_no_action_undone_and_none_done_twice(world):
    """D39: what an action does and that it is done are one transaction."""
    link, _ = await world.link()
    owner = {"email": "eva@supplier.example"}
    for description in ("Call", "Call again"):
        await world.action(link, kind="follow_up", description=description, owner=owner)
    await world.sql(
        "INSERT INTO person (name) SELECT 'Person ' || g FROM generate_series(1, :runs / 2) AS g", runs=RUNS
    )
    await world.sql(
        "INSERT INTO recipient (mailing_id, person_id, name, email, status, sent_at)"
        " SELECT 1, id, name, 'p' || id || '@example.com', 'sent', now() FROM person"
    )
    await world.sql(
        "INSERT INTO action_run (action_id, kind, library_link_id, recipient_id, mailing_id, link_id, clicked_at,"
        " state)"
        " SELECT a.id, a.kind, a.library_link_id, r.id, 1, 1, now(), 'waiting' FROM recipient AS r, link_action AS a"
    )
    command = [sys.executable, "-m", "tests.actions.dying_worker", world.settings.database_url, str(KILLS)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0
    killed_at = [int(line) for line in said.split()]
    assert any(0 < done < RUNS for done in killed_at), "or no kill came in the middle"
    runs = await world.sql("SELECT state, attempts, count(*) AS runs FROM action_run GROUP BY 1, 2")
    assert [tuple(row) for row in runs] == [("done", 1, RUNS)]
    made = await world.sql("SELECT count(*) AS all, count(DISTINCT run_id) AS runs FROM follow_up")
    assert tuple(made[0]) == (RUNS, RUNS)
