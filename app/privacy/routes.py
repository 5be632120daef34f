"""`/v1/persons/{id}/export` and `/v1/persons/{id}/erase` (D78)."""

from fastapi import Request, Response

from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.operation_routes import OperationOut, accepted
from app.privacy import service
from app.privacy.errors import PersonUnknown
from app.privacy.schemas import ErasureIn, PersonExport

routes = router(prefix="/v1/persons/{person_id}", tag="data subjects")


@routes.get(
    "/export", operation_id="export_person", responses=declare(PersonUnknown), summary="Export all about a person"
)
async def export_person(caller: ContactsRead, session: Session, response: Response, person_id: int) -> PersonExport:
    """Return everything that is kept about the person, as a file: fields, consents, what was sent and what came of it.

    Works for a deleted person as well, as far as lists and ledger still know of one. What is found by the person's
    addresses is part of it: pasted lines, blocked addresses, consents of addresses that matched nobody.
    """
    response.headers["Content-Disposition"] = f'attachment; filename="person-{person_id}.json"'
    response.headers["Cache-Control"] = "no-store"
    return await service.export_person(session, person_id=person_id)


@routes.post(
    "/erase", operation_id="erase_person", status_code=202, responses=declare(PersonUnknown), summary="Erase a person"
)
async def erase_person(
    caller: ContactsWrite, session: Session, request: Request, response: Response, person_id: int, body: ErasureIn
) -> OperationOut:
    """Erase a person for good; the operation it answers is over already, unless files are left to be searched.

    It cannot be undone.

    The person goes, with everything that names one: lines of lists keep status and marks but no name and address, so
    statistics stay as they are; lines that wait are blocked; the ledger keeps what proves consent. Links that were sent
    go on working. Nothing is sent to the person's addresses again, whoever has them: `others_at_these_addresses` tells
    how many other persons do. Exports of lists with the person on them are deleted at once. Uploaded files that are
    kept (imports that wait, or had problems) are searched for the person's addresses: those that name one are deleted,
    and the operation's `uploads` counts them. Deleting a person is the softer thing: lists and ledger keep their lines.
    """
    secret = request.app.state.settings.secret_key.get_secret_value()
    erasure = await service.erase_person(session, person_id=person_id, reason=body.reason, secret=secret)
    return accepted(erasure, response)
