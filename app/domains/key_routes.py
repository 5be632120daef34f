"""`/v1/sending-domains/{id}/dkim-keys`."""

from fastapi import Request

from app.domains import key_queries, keys, service
from app.domains.errors import DomainNotFound, KeyNotFound, KeyStateRefused
from app.domains.key_material import record_name, record_text, txt_strings, zone_line
from app.domains.key_schemas import Activation, KeyIn, KeyOut, Record, Retirement
from app.domains.models import DkimKey, SendingDomain
from app.platform.auth import Admin, MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/sending-domains/{domain_id}/dkim-keys", tag="sending domains")


def show(domain: SendingDomain, key: DkimKey) -> KeyOut:
    """Return a key as the API shows it."""
    name, text = record_name(key.selector, domain.domain), record_text(key.algorithm, key.public_key)
    record = Record(name=name, text=text, strings=txt_strings(text), zone_line=zone_line(name, text))
    shown = key.model_dump(exclude={"domain_id", "private_key", "public_key"})
    return KeyOut(**shown, domain=domain.domain, record=record)


@routes.post(
    "", operation_id="create_dkim_key", status_code=201, responses=declare(DomainNotFound), summary="Make a DKIM key"
)
async def create_key(caller: Admin, session: Session, request: Request, domain_id: int, body: KeyIn) -> KeyOut:
    """Make a key that mail from the domain is to be signed with, and the record to publish.

    It is pending until a check finds the record in DNS; then it signs, and the key of its kind before it is retiring:
    what that one signed stays valid while its record stays, which is for `BUDSTIKKE_DKIM_RETIRING_DAYS`. A domain may
    have a key of each kind, and its mail then has two signatures.
    """
    settings = request.app.state.settings
    return show(*await keys.create_key(session, domain_id=domain_id, algorithm=body.algorithm, settings=settings))


@routes.get("", operation_id="list_dkim_keys", responses=declare(DomainNotFound), summary="List DKIM keys")
async def list_keys(
    caller: MailingsRead, session: Session, domain_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[KeyOut]:
    """List a domain's keys, oldest first, each with the record that publishes it."""
    domain = await service.read_domain(session, domain_id=domain_id)
    rows = await key_queries.page_of_keys(session, domain_id=domain_id, after=read_cursor(cursor), limit=limit)
    return Page[KeyOut](**page_of(rows, limit=limit, show=lambda key: show(domain, key)))


@routes.post(
    "/{key_id}/activate", operation_id="activate_dkim_key",
    responses=declare(DomainNotFound, KeyNotFound, KeyStateRefused), summary="Sign with a DKIM key",
)  # fmt: skip
async def activate_key(
    caller: Admin, session: Session, request: Request, domain_id: int, key_id: int, body: Activation
) -> KeyOut:
    """Sign with a pending key from now on; the key of its kind before it is retiring.

    It is refused while its record was not found in DNS, unless forced: receivers would find no key. Checks activate
    keys by themselves. Mailings that are being sent go over to it within a minute.
    """
    domain, key = await keys.read_key(session, domain_id=domain_id, key_id=key_id)
    await keys.activate(session, domain=domain, key=key, force=body.force, settings=request.app.state.settings)
    return show(domain, key)


@routes.post(
    "/{key_id}/retire", operation_id="retire_dkim_key",
    responses=declare(DomainNotFound, KeyNotFound, KeyStateRefused), summary="Retire a DKIM key",
)  # fmt: skip
async def retire_key(
    caller: Admin, session: Session, request: Request, domain_id: int, key_id: int, body: Retirement
) -> KeyOut:
    """Sign with a key no more. An active key's record has to stay until `retires_at`; a pending one is gone at once.

    `at_once` retires it without those days. When a key is retired, its private half is deleted, and its record may go.
    """
    domain, key = await keys.read_key(session, domain_id=domain_id, key_id=key_id)
    await keys.retire(session, domain=domain, key=key, at_once=body.at_once, settings=request.app.state.settings)
    return show(domain, key)
