"""`/v1/action-runs`: what became of actions, and doing them again (D39)."""

from typing import Annotated

from fastapi import Query

from app.actions import runs
from app.actions.errors import RunNotFound, RunNotRepeatable
from app.actions.models import ActionKind, ActionRun, RunState
from app.actions.schemas import RepeatedOut, RepeatIn, RunOut
from app.platform.auth import MailingsWrite, TrackingRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/action-runs", tag="link actions")

Id = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


def show_run(run: ActionRun) -> RunOut:
    """Return a run as the API shows it; there, a link is the library's."""
    return RunOut(**run.model_dump(exclude={"library_link_id", "link_id", "due_at"}), link_id=run.library_link_id)


@routes.get("", operation_id="list_action_runs", responses=declare(), summary="List runs of actions")
async def list_action_runs(
    caller: TrackingRead, session: Session, link_id: Id = None, mailing_id: Id = None, recipient_id: Id = None,
    action_id: Id = None, kind: ActionKind | None = None, state: RunState | None = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RunOut]:  # fmt: skip
    """List what actions were done for whom, newest first: of a link of the library, a mailing, a recipient, a state.

    There is one run for each action and recipient, however often the link is clicked. A `response` has none: it is
    the answer to the click.
    """
    equal = {
        "library_link_id": link_id, "mailing_id": mailing_id, "recipient_id": recipient_id, "action_id": action_id,
    }  # fmt: skip
    below = read_cursor(cursor)
    rows = await runs.page_of_runs(session, equal=equal, state=state, kind=kind, below=below, limit=limit)
    return Page[RunOut](**page_of(rows, limit=limit, show=show_run))


@routes.post(
    "/repeat-failed", operation_id="repeat_failed_action_runs", responses=declare(), summary="Repeat all failed runs"
)
async def repeat_failed_action_runs(caller: MailingsWrite, session: Session, body: RepeatIn) -> RepeatedOut:
    """Do every failed run again, within seconds: all there are, or those of a link, a mailing or an action."""
    return RepeatedOut(repeated=await runs.repeat_failed(session, **body.model_dump()))


@routes.get("/{run_id}", operation_id="get_action_run", responses=declare(RunNotFound), summary="Get a run")
async def get_action_run(caller: TrackingRead, session: Session, run_id: int) -> RunOut:
    """Return one run, with what came of it in words."""
    return show_run(await runs.read_run(session, run_id=run_id))


@routes.post(
    "/{run_id}/repeat", operation_id="repeat_action_run", status_code=202,
    responses=declare(RunNotFound, RunNotRepeatable), summary="Repeat a run",
)  # fmt: skip
async def repeat_action_run(caller: MailingsWrite, session: Session, run_id: int) -> RunOut:
    """Do a run again, within seconds, that failed, was skipped or dropped, whatever the verdict on its click.

    What is done is not done again (409), but for a script: it is called again under the same `webhook-id`.
    """
    return show_run(await runs.repeat_run(session, run_id=run_id))
