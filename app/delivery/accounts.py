"""Sending accounts: kept, checked, and made into what a sender opens connections with."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr
from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery import account_queries as queries
from app.delivery.account_errors import AccountInUse, AccountNotFound
from app.delivery.account_models import SendingAccount
from app.delivery.account_queries import Faring
from app.delivery.replies import Outcome, decided_here
from app.delivery.routing import Account, Routing
from app.delivery.smtp.account import AuthMethod, Security, SmtpAccount, parse_smtp_url
from app.delivery.standing import Standings
from app.platform.clock import now
from app.platform.errors import Invalid, InvalidField
from app.platform.sealed import SealBrokenError, seal, unseal
from app.platform.settings import Settings

PURPOSE = "SMTP password"  # of the seal

_PORTS = {Security.NONE: 25, Security.STARTTLS: 587, Security.TLS: 465}
_WARM_UP = ("warm_up_from", "warm_up_first_day", "warm_up_growth")
_OF_THE_SERVER = {
    "enabled", "host", "port", "security", "verify_certificate", "auth", "username", "password", "local_hostname",
    "pipelining",
}  # fmt: skip


async def read_account(session: AsyncSession, *, account_id: int) -> Faring:
    """Return an account and how it fares; raises AccountNotFound."""
    found = await queries.find_account(session, account_id=account_id)
    if found is None:
        raise AccountNotFound(f"There is no sending account {account_id}.")
    return found


async def create_account(session: AsyncSession, *, fields: Mapping[str, Any], settings: Settings) -> Faring:
    """Add an account; raises AccountNameTaken, and Invalid for fields that do not fit each other."""
    account = SendingAccount(name=fields["name"], host=fields["host"], port=0)
    _fill(account, fields, settings)
    _check(account)
    await queries.save(session, account)
    return account, None


async def change_account(
    session: AsyncSession, *, account_id: int, fields: Mapping[str, Any], settings: Settings
) -> Faring:
    """Change an account by merge patch. What stood against it is forgotten if it leads elsewhere now.

    Raises AccountNotFound, AccountNameTaken, Invalid.
    """
    account, health = await read_account(session, account_id=account_id)
    _fill(account, fields, settings)
    _check(account)
    await queries.save(session, account)
    if fields.keys() & _OF_THE_SERVER and health is not None:
        await queries.forget_health(session, account_id=account_id)
        session.expunge(health)
        health = None
    return account, health


async def delete_account(session: AsyncSession, *, account_id: int) -> None:
    """Delete an account; mailings that are over forget that they named it.

    Raises AccountInUse while one that is not names it: sent some other way, it would come from a server that nobody
    chose. Raises AccountNotFound.
    """
    account, _ = await read_account(session, account_id=account_id)
    mailings = await queries.named_by(session, account_id=account_id)
    if mailings:
        named = ", ".join(map(str, mailings[:3])) + (" and more" if len(mailings) > 3 else "")
        raise AccountInUse(
            f"Mailing {named} would be sent over this account; choose another one there, or disable this one."
        )
    await session.delete(account)


def _fill(account: SendingAccount, fields: Mapping[str, Any], settings: Settings) -> None:
    values = dict(fields)
    if "password" in values:
        password: SecretStr | None = values.pop("password")
        secret = settings.secret_key.get_secret_value()
        account.password_sealed, account.password_set_at = None, now()
        if password is not None:
            account.password_sealed = seal(password.get_secret_value().encode(), secret=secret, purpose=PURPOSE)
    if "from_domains" in values:
        values["from_domains"] = sorted(set(values["from_domains"]))
    account.sqlmodel_update(values)
    if "port" in values and values["port"] is None:
        account.port = _PORTS[Security(account.security)]


def _check(account: SendingAccount) -> None:
    """Raise Invalid for each field that does not fit the others."""
    found: list[InvalidField] = []
    if account.username is not None and account.password_sealed is None:
        found.append(InvalidField(pointer="#/password", detail="An account that logs in needs a password."))
    if account.username is None and account.password_sealed is not None:
        found.append(InvalidField(pointer="#/username", detail="A password needs a user name; or leave both out."))
    if account.username is None and account.auth is not AuthMethod.AUTO and account.password_sealed is None:
        found.append(InvalidField(pointer="#/username", detail=f"`auth` {account.auth.value} needs a user name."))
    given = [name for name in _WARM_UP if getattr(account, name) is not None]
    if given and len(given) < len(_WARM_UP):
        found += [
            InvalidField(pointer=f"#/{name}", detail=f"A ramp needs all of {', '.join(_WARM_UP)}; or none of them.")
            for name in _WARM_UP
            if name not in given
        ]
    if found:
        raise Invalid(" ".join(dict.fromkeys(each.detail for each in found)), errors=found)


def smtp_account(account: SendingAccount, *, settings: Settings) -> SmtpAccount:
    """Return what connections are opened with; raises SealBrokenError when `secret_key` is another one by now."""
    password = None
    if account.password_sealed is not None:
        secret = settings.secret_key.get_secret_value()
        password = unseal(account.password_sealed, secret=secret, purpose=PURPOSE).decode()
    return SmtpAccount(
        host=account.host,
        port=account.port,
        security=account.security,
        username=account.username,
        password=password,
        auth=account.auth,
        pipelining=account.pipelining,
        local_hostname=account.local_hostname,
        verify=account.verify_certificate,
        max_messages=account.max_messages,
    )


async def load_routing(
    session: AsyncSession, *, named: int | None, settings: Settings, standings: Standings
) -> Routing:
    """Return the accounts that are enabled, and let this process know how they fare.

    `named` is the account that the mailing names. Without any account, `BUDSTIKKE_SMTP_URL` is the one. Raises
    SmtpUrlError for a URL that is none.
    """
    rows = await queries.all_accounts(session)
    standings.learn(rows)
    if rows:
        return routing_of(rows, named=named, settings=settings)
    smtp = parse_smtp_url(settings.smtp_url.get_secret_value())
    return Routing([Account(None, "BUDSTIKKE_SMTP_URL", smtp, settings.smtp_connections)])


def routing_of(rows: Sequence[Faring], *, named: int | None, settings: Settings) -> Routing:
    """Return the choice among those accounts that are enabled."""
    return Routing([_usable(account, settings) for account, _ in rows if account.enabled], named=named)


def _usable(row: SendingAccount, settings: Settings) -> Account:
    fault = None
    try:
        smtp = smtp_account(row, settings=settings)
    except SealBrokenError as error:
        fault = decided_here(Outcome.SENDER_FAULT, str(error))
        smtp = SmtpAccount(row.host, row.port)
    return Account(
        id=row.id,
        name=row.name,
        smtp=smtp,
        connections=row.connections,
        weight=row.weight,
        from_domains=frozenset(row.from_domains),
        fault=fault,
    )


__all__ = [
    "SealBrokenError", "change_account", "create_account", "delete_account", "load_routing", "read_account",
    "routing_of", "smtp_account",
]  # fmt: skip
