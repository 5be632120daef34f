"""`/v1/sending-accounts`: the SMTP servers that messages go through."""

import ipaddress
import time
from dataclasses import replace
from typing import Final

from fastapi import Request

from app.delivery import account_queries as queries
from app.delivery import accounts
from app.delivery.account_errors import AccountInUse, AccountNameTaken, AccountNotFound
from app.delivery.account_models import AccountState, SendingAccountHealth
from app.delivery.account_queries import Faring
from app.delivery.account_schemas import (
    ConnectionTest,
    Health,
    SendingAccountIn,
    SendingAccountOut,
    SendingAccountPatch,
)
from app.delivery.replies import Outcome, Stage, decided_here
from app.delivery.smtp.account import Pipelining, Security, SmtpAccount, Timeouts
from app.delivery.smtp.connection import Probe, probe
from app.platform.auth import Admin, MailingsRead
from app.platform.clock import now
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_key

routes = router(prefix="/v1/sending-accounts", tag="sending accounts")

_TEST_TIMEOUTS: Final = Timeouts(connect=10)


def show(faring: Faring) -> SendingAccountOut:
    """Return an account as the API shows it."""
    account, health = faring
    shown = account.model_dump(exclude={"password_sealed"})
    return SendingAccountOut(
        **shown,
        has_password=account.password_sealed is not None,
        health=_show_health(health or SendingAccountHealth(account_id=account.id)),
    )


def _show_health(health: SendingAccountHealth) -> Health:
    steps = health.step is not None and health.step_until is not None and health.step_until > now()
    return Health(
        state=AccountState.HEALTHY if health.failing_since is None else AccountState.FAILING,
        failing_since=health.failing_since,
        failures=health.failures,
        retry_at=health.retry_at,
        needs_you=health.is_fault,
        words=health.words,
        used_at=health.used_at,
        pipelining=health.step if steps else None,
        pipelining_until=health.step_until if steps else None,
        pipelining_words=health.step_words if steps else None,
    )


@routes.post(
    "", operation_id="create_sending_account", status_code=201, responses=declare(AccountNameTaken),
    summary="Add a sending account",
)  # fmt: skip
async def create_sending_account(
    caller: Admin, session: Session, request: Request, body: SendingAccountIn
) -> SendingAccountOut:
    """Add an SMTP server that messages may go through from now on; test it before.

    A mailing goes over the account it names, else over those that serve its From domain, else over those that serve
    any; several share by weight. While there is no account at all, `BUDSTIKKE_SMTP_URL` is the one. The password is
    kept sealed under `BUDSTIKKE_SECRET_KEY`, and no answer, log or audit entry has it.
    """
    settings = request.app.state.settings
    return show(await accounts.create_account(session, fields=body.model_dump(), settings=settings))


@routes.get("", operation_id="list_sending_accounts", responses=declare(), summary="List sending accounts")
async def list_sending_accounts(
    caller: MailingsRead, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[SendingAccountOut]:
    """List sending accounts, oldest first, with how each of them fares."""
    after = read_key(cursor, int)
    rows = await queries.page_of_accounts(session, after=after[0] if after else None, limit=limit)
    page = page_of(rows, limit=limit, show=show, key=lambda row: [row[0].id])
    return Page[SendingAccountOut](**page)


@routes.get(
    "/{account_id}", operation_id="get_sending_account", responses=declare(AccountNotFound),
    summary="Get a sending account",
)  # fmt: skip
async def get_sending_account(caller: MailingsRead, session: Session, account_id: int) -> SendingAccountOut:
    """Return one sending account and how it fares: since when it fails, with the server's words, and until when."""
    return show(await accounts.read_account(session, account_id=account_id))


@routes.patch(
    "/{account_id}", operation_id="update_sending_account", responses=declare(AccountNotFound, AccountNameTaken),
    summary="Change a sending account",
)  # fmt: skip
async def update_sending_account(
    caller: Admin, session: Session, request: Request, account_id: int, body: SendingAccountPatch
) -> SendingAccountOut:
    """Change the fields that are sent. What is being sent goes on as before for up to a minute.

    With another host, port, login or encryption, what stood against the account is forgotten: it is tried at once.
    """
    fields = body.model_dump(exclude_unset=True)
    settings = request.app.state.settings
    return show(await accounts.change_account(session, account_id=account_id, fields=fields, settings=settings))


@routes.delete(
    "/{account_id}", operation_id="delete_sending_account", status_code=204,
    responses=declare(AccountNotFound, AccountInUse), summary="Delete a sending account",
)  # fmt: skip
async def delete_sending_account(caller: Admin, session: Session, account_id: int) -> None:
    """Delete a sending account, unless a mailing that is not over names it."""
    await accounts.delete_account(session, account_id=account_id)


@routes.post(
    "/{account_id}/test", operation_id="test_sending_account", responses=declare(AccountNotFound),
    summary="Test a sending account",
)  # fmt: skip
async def test_sending_account(caller: Admin, session: Session, request: Request, account_id: int) -> ConnectionTest:
    """Open a connection, encrypt it and log in as the account says, then say goodbye: no message is sent.

    Answers within some 20 seconds, with the server's words where it refuses. An account that passes is used again at
    once, whatever stood against it. The connection is made by the API's machine; what sends may be another one.
    """
    account, _ = await accounts.read_account(session, account_id=account_id)
    smtp, seen = None, Probe()
    try:
        smtp = accounts.smtp_account(account, settings=request.app.state.settings)
    except accounts.SealBrokenError as error:
        seen.failure = decided_here(Outcome.SENDER_FAULT, str(error), Stage.LOCAL)
    if "idempotency-key" not in request.headers:  # a key's lock is held until its answer is kept
        await session.rollback()  # it wrote nothing, and no connection waits for another server
    started = time.monotonic()
    if smtp is not None:
        seen = await probe(replace(smtp, timeouts=_TEST_TIMEOUTS))
    if seen.failure is None:
        async with request.app.state.database.begin() as other:
            await queries.note_success(other, account_id=account_id)
    remarks = _remarks(smtp, seen) if smtp is not None and seen.failure is None else []
    return _show_test(seen, remarks, seconds=time.monotonic() - started)


def _show_test(seen: Probe, remarks: list[str], *, seconds: float) -> ConnectionTest:
    failure = seen.failure
    return ConnectionTest(
        ok=failure is None,
        stage=failure and failure.stage,
        code=failure and failure.code,
        words=failure.text if failure else seen.words,
        address=seen.address,
        is_private=seen.address is not None and not ipaddress.ip_address(seen.address.split("%", 1)[0]).is_global,
        encrypted=seen.encrypted,
        logged_in_by=seen.logged_in_by,
        capabilities=seen.capabilities,
        pipelining=seen.pipelining,
        max_size=seen.max_size,
        remarks=remarks,
        seconds=round(seconds, 3),
    )


def _remarks(account: SmtpAccount, seen: Probe) -> list[str]:
    remarks = []
    if account.security is Security.NONE and account.username is not None:
        remarks.append("User name and password travel unencrypted.")
    if account.security is Security.NONE and "STARTTLS" in seen.capabilities:
        remarks.append("The server offers STARTTLS: use it.")
    if account.security is not Security.NONE and not account.verify:
        remarks.append("The certificate is not checked: whoever is in between can read along.")
    if seen.pipelining is Pipelining.OFF and account.pipelining is not Pipelining.OFF:
        remarks.append("The server offers no PIPELINING: each message takes five round trips.")
    return remarks
