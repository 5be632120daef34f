"""Scripts: signed webhooks that actions call with what happened, and what came of a call (D38)."""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions import queries
from app.actions.errors import ScriptInUse, ScriptNotFound
from app.actions.models import Script
from app.actions.outcomes import Outcome, again, done, failed
from app.content.links import fill_target
from app.platform.clock import now
from app.platform.settings import Settings
from app.platform.tokens import TokenKey
from app.tracking.values import read_values
from app.webhooks.messages import Message, signed, written
from app.webhooks.posting import Answer
from app.webhooks.signing import SALT_OCTETS, secret_of
from app.webhooks.webhooks import GONE, WAITS, check_url

CLICKED, ASKED = "link.clicked", "link.redirect"
_NAMED = 10


def secret_for(script: Script, tokens: TokenKey) -> str:
    """Return a script's secret."""
    return secret_of(tokens.secret, webhook_id=script.id, salt=script.secret_salt)


async def create_script(session: AsyncSession, *, fields: Mapping[str, Any], settings: Settings) -> Script:
    """Add a script; raises InvalidUrl."""
    check_url(fields["url"], allow_private=settings.webhook_private_addresses)
    return await _save(session, Script(**fields, secret_salt=secrets.token_bytes(SALT_OCTETS)))


async def _save(session: AsyncSession, script: Script) -> Script:
    session.add(script)
    await session.flush()
    await session.refresh(script)
    return script


async def read_script(session: AsyncSession, *, script_id: int, lock: bool = False) -> Script:
    """Return a script; raises ScriptNotFound."""
    if lock:
        script = await queries.lock_script(session, script_id=script_id)
    else:
        script = await session.get(Script, script_id)
    if script is None:
        raise ScriptNotFound(f"There is no script {script_id}.")
    return script


async def change_script(
    session: AsyncSession, *, script_id: int, fields: Mapping[str, Any], settings: Settings
) -> Script:
    """Change a script; raises ScriptNotFound and InvalidUrl."""
    script = await read_script(session, script_id=script_id, lock=True)
    if "url" in fields:
        check_url(fields["url"], allow_private=settings.webhook_private_addresses)
    script.sqlmodel_update(dict(fields))
    script.updated_at = now()
    return await _save(session, script)


async def renew_secret(session: AsyncSession, *, script_id: int) -> Script:
    """Give a script another secret, from the next call on; raises ScriptNotFound."""
    script = await read_script(session, script_id=script_id, lock=True)
    script.secret_salt, script.updated_at = secrets.token_bytes(SALT_OCTETS), now()
    return await _save(session, script)


async def delete_script(session: AsyncSession, *, script_id: int) -> None:
    """Delete a script; raises ScriptNotFound, and ScriptInUse with the links whose actions call it."""
    script = await read_script(session, script_id=script_id, lock=True)
    if found := await queries.links_calling(session, script_id=script_id, limit=_NAMED + 1):
        named = ", ".join(f"{link_id} ({name})" for link_id, name in found[:_NAMED])
        more = " and more" if len(found) > _NAMED else ""
        raise ScriptInUse(f"Actions of links call it: {named}{more}. Take those actions away first.")
    await session.delete(script)


def told(kind: str, row: Any, *, url: str) -> dict[str, Any]:
    """Return what a script is told of a click: rows of `run_queries.claim` and `answer_queries.asked` have the same."""
    return {
        "type": kind, "timestamp": written(row.clicked_at),
        "data": {
            "customer": {
                "recipient_id": row.recipient_id, "person_id": row.person_id, "company_id": row.company_id,
                "external_id": row.external_id, "name": row.name, "email": row.email,
            },
            "link": {"id": row.library_link_id, "name": row.link_name},
            "mailing": {"id": row.mailing_id, "name": row.mailing_name},
            "url": url, "hits": row.human,
        },
    }  # fmt: skip


async def filled_target(session: AsyncSession, row: Any) -> str:
    """Return the target of the click's link, with merge tags filled for its recipient."""
    if row.target is None or "[[" not in row.target:
        return row.target or ""
    return fill_target(row.target, await read_values(session, recipient_id=row.recipient_id))


def message_of(row: Any, *, url: str, secret: str) -> Message:
    """Return what a script is told of a run, under an id that is the same in every try."""
    return signed(told(CLICKED, row, url=url), message_id=f"run_{row.id}", secret=secret)


def outcome_of(answer: Answer, *, attempt: int) -> Outcome:
    """Return what came of a call: done, tried again over days as webhooks are, or given up. 410 is final."""
    if answer.is_good:
        return done(f"Answered {answer.status}.")
    if answer.status == GONE:
        return failed("Answered 410: it is gone.")
    return again(answer.error or "No answer.", attempt=attempt, waits=WAITS)
