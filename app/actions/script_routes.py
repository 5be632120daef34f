"""`/v1/scripts`: the signed webhooks that actions call (D38)."""

from fastapi import Request

from app.actions import queries, scripts
from app.actions.errors import ScriptInUse, ScriptNotFound
from app.actions.models import Script
from app.actions.schemas import ScriptIn, ScriptOut, ScriptPatch, ScriptWithSecret
from app.platform.auth import Admin, MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.idempotency import show_once
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor
from app.webhooks.errors import InvalidUrl

routes = router(prefix="/v1/scripts", tag="link actions")


def show_script(script: Script) -> ScriptOut:
    """Return a script as the API shows it."""
    return ScriptOut(**script.model_dump(exclude={"secret_salt"}))


def show_with_secret(request: Request, script: Script) -> ScriptWithSecret:
    """Return a script with its secret, which is in no replay of the answer."""
    show_once(request, "secret")
    return ScriptWithSecret(
        **show_script(script).model_dump(), secret=scripts.secret_for(script, request.app.state.tokens)
    )


@routes.post("", operation_id="create_script", status_code=201, responses=declare(InvalidUrl), summary="Add a script")
async def create_script(caller: Admin, session: Session, request: Request, body: ScriptIn) -> ScriptWithSecret:
    """Add a webhook that actions may call. The secret is shown this once.

    Calls are POSTs by the Standard Webhooks specification. `link.clicked` comes once for each recipient who clicked,
    when the click was a human's; it is tried again over three days until the answer is 2xx, always under the same
    `webhook-id`. Where the action may redirect, `link.redirect` comes at each click as well, while the reader waits:
    `{"redirect_to": "https://…"}` within `timeout_ms` leads the reader there, anything else to the link's target.
    """
    settings = request.app.state.settings
    script = await scripts.create_script(session, fields=body.model_dump(), settings=settings)
    return show_with_secret(request, script)


@routes.get("", operation_id="list_scripts", responses=declare(), summary="List scripts")
async def list_scripts(
    caller: MailingsRead, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[ScriptOut]:
    """List scripts, oldest first."""
    rows = await queries.page_of_scripts(session, after=read_cursor(cursor), limit=limit)
    return Page[ScriptOut](**page_of(rows, limit=limit, show=show_script))


@routes.get("/{script_id}", operation_id="get_script", responses=declare(ScriptNotFound), summary="Get a script")
async def get_script(caller: MailingsRead, session: Session, script_id: int) -> ScriptOut:
    """Return one script. Its secret cannot be shown again."""
    return show_script(await scripts.read_script(session, script_id=script_id))


@routes.patch(
    "/{script_id}", operation_id="update_script", responses=declare(ScriptNotFound, InvalidUrl),
    summary="Change a script",
)  # fmt: skip
async def update_script(
    caller: Admin, session: Session, request: Request, script_id: int, body: ScriptPatch
) -> ScriptOut:
    """Change the fields that are sent (JSON merge patch); clicks follow within seconds."""
    fields = body.model_dump(exclude_unset=True)
    settings = request.app.state.settings
    return show_script(await scripts.change_script(session, script_id=script_id, fields=fields, settings=settings))


@routes.post(
    "/{script_id}/renew-secret", operation_id="renew_script_secret", responses=declare(ScriptNotFound),
    summary="Renew a script's secret",
)  # fmt: skip
async def renew_script_secret(
    caller: Admin, session: Session, request: Request, script_id: int
) -> ScriptWithSecret:  # fmt: skip
    """Make another secret and show it this once; the old one is used for a few seconds more at most."""
    return show_with_secret(request, await scripts.renew_secret(session, script_id=script_id))


@routes.delete(
    "/{script_id}", operation_id="delete_script", status_code=204, responses=declare(ScriptNotFound, ScriptInUse),
    summary="Delete a script",
)  # fmt: skip
async def delete_script(caller: Admin, session: Session, script_id: int) -> None:
    """Delete a script that no action calls."""
    await scripts.delete_script(session, script_id=script_id)
