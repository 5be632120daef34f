"""What is to be said of the sending accounts that a mailing would go over (D26)."""

from collections.abc import Iterator, Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery.account_queries import Faring, all_accounts
from app.delivery.accounts import routing_of
from app.delivery.routing import Route, Routing
from app.domains.names import domain_of
from app.domains.service import approved_domains
from app.mailings.models import Mailing
from app.mailings.schemas import Remark, problem, warning
from app.mailings.senders import contact_of
from app.platform.settings import Settings


async def check_accounts(session: AsyncSession, *, mailing: Mailing, settings: Settings) -> list[Remark]:
    """Return what is wrong with the accounts of a mailing.

    None that may send it is a problem. That all of them fail at this moment is a warning: they may be back in time. So
    are domains of contacts that nobody serves, since it is not known whether any recipient has such a contact.
    """
    rows = await all_accounts(session)
    domain = domain_of(mailing.from_email)
    if not rows or domain is None:  # BUDSTIKKE_SMTP_URL serves every domain
        return []
    routing = routing_of(rows, named=mailing.sending_account_id, settings=settings)
    route = routing.route(domain)
    if not route:
        return [problem("no_sending_account", routing.nobody(domain).text)]
    remarks = list(_failing(rows, route))
    if contact_of(mailing.from_rule):
        remarks += _unserved(routing, sorted(await approved_domains(session)))
    return remarks


def _failing(rows: Sequence[Faring], route: Route) -> Iterator[Remark]:
    failing = [
        f"{account.name}: {health.words}"
        for account, health in rows
        if account.id in route and health is not None and health.failing_since is not None
    ]
    if len(failing) == len(route):
        yield warning("accounts_failing", f"No sending account works at this moment. {'; '.join(failing)}")


def _unserved(routing: Routing, domains: Sequence[str]) -> Iterator[Remark]:
    unserved = [domain for domain in domains if not routing.route(domain)]
    if unserved:
        detail = f"No enabled sending account serves {', '.join(unserved[:5])}: a contact there stops the mailing."
        yield warning("domain_without_account", detail)
