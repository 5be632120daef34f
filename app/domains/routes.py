"""`/v1/sending-domains`."""

from typing import Annotated

from fastapi import Query, Response

from app.domains import checking, queries, service
from app.domains.errors import DomainNotFound, DomainTaken, InvalidDomain
from app.domains.models import SendingDomain
from app.domains.names import a_label
from app.domains.schemas import DomainIn, DomainOut, DomainPatch
from app.platform.auth import Admin, MailingsRead, MailingsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.operation_routes import OperationOut, accepted
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/sending-domains", tag="sending domains")

OneDomain = Annotated[str | None, Query(description="Only this one, in A-labels or as people write it", max_length=300)]
Approved = Annotated[bool | None, Query(description="Only those that are, or are not, approved")]


def show(domain: SendingDomain) -> DomainOut:
    """Return a sending domain as the API shows it."""
    return DomainOut(**domain.model_dump())


@routes.post(
    "", operation_id="create_sending_domain", status_code=201, responses=declare(InvalidDomain, DomainTaken),
    summary="Add a sending domain",
)  # fmt: skip
async def create_domain(caller: Admin, session: Session, body: DomainIn) -> DomainOut:
    """List a domain that mailings are sent from.

    It is approved once its checks in DNS pass (SPF, the DKIM keys made here, DMARC, MX), or at once if it is trusted.
    A contact's address stands in From only where its very domain is approved.
    """
    return show(await service.add_domain(session, domain=body.domain, trusted=body.trusted))


@routes.get("", operation_id="list_sending_domains", responses=declare(InvalidDomain), summary="List sending domains")
async def list_domains(
    caller: MailingsRead, session: Session, domain: OneDomain = None, approved: Approved = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DomainOut]:  # fmt: skip
    """List sending domains, oldest first, with what the last checks came to."""
    rows = await queries.page_of_domains(
        session, domain=None if domain is None else a_label(domain), approved=approved, after=read_cursor(cursor),
        limit=limit,
    )  # fmt: skip
    return Page[DomainOut](**page_of(rows, limit=limit, show=show))


@routes.get(
    "/{domain_id}", operation_id="get_sending_domain", responses=declare(DomainNotFound),
    summary="Get a sending domain",
)  # fmt: skip
async def get_domain(caller: MailingsRead, session: Session, domain_id: int) -> DomainOut:
    """Return one sending domain."""
    return show(await service.read_domain(session, domain_id=domain_id))


@routes.patch(
    "/{domain_id}", operation_id="update_sending_domain", responses=declare(DomainNotFound),
    summary="Trust a sending domain, or not",
)  # fmt: skip
async def update_domain(caller: Admin, session: Session, domain_id: int, body: DomainPatch) -> DomainOut:
    """Vouch for a domain, which approves it whatever its checks say, or leave it to its checks again."""
    return show(await service.change_domain(session, domain_id=domain_id, trusted=body.trusted))


@routes.post(
    "/{domain_id}/check", operation_id="check_sending_domain", status_code=202, responses=declare(DomainNotFound),
    summary="Check a sending domain",
)  # fmt: skip
async def check_domain(caller: MailingsWrite, session: Session, domain_id: int, response: Response) -> OperationOut:
    """Ask DNS about a domain now, as after publishing a record; `Location` leads to the operation.

    It ends within seconds with `{verdict, approved}`; the domain then has the findings, each with the record that would
    be right. Keys whose records are found begin to sign. Where DNS does not answer, the verdict stays what it was.
    Passing domains are checked every 6 hours by themselves, others every 15 minutes.
    """
    operation = await checking.ask_for_check(session, domain_id=domain_id)
    return accepted(operation, response)


@routes.delete(
    "/{domain_id}", operation_id="delete_sending_domain", status_code=204, responses=declare(DomainNotFound),
    summary="Delete a sending domain",
)  # fmt: skip
async def delete_domain(caller: Admin, session: Session, domain_id: int) -> None:
    """Delete a sending domain with its keys. Mail from it goes on, unsigned; its records in DNS are yours to remove."""
    await service.delete_domain(session, domain_id=domain_id)
