"""`/v1/extra-fields`."""

from typing import Annotated

from fastapi import Query, Response

from app.contacts import extra_field_queries as queries
from app.contacts import extra_fields
from app.contacts.errors import (
    ExtraFieldInUse,
    ExtraFieldNotFound,
    ExtraFieldTaken,
    ExtraValuesContradict,
    InvalidExtraField,
)
from app.contacts.extra_field_schemas import ExtraFieldIn, ExtraFieldOut, ExtraFieldPatch
from app.contacts.models import ExtraField, ExtraOwner
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.operation_routes import OperationOut, show_operation
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/extra-fields", tag="extra fields")

DropValues = Annotated[bool, Query(description="Remove the field's value from everyone who has one")]


def show(field: ExtraField) -> ExtraFieldOut:
    """Return an extra field as the API shows it."""
    return ExtraFieldOut(**field.model_dump())


@routes.post(
    "", operation_id="create_extra_field", status_code=201, responses=declare(ExtraFieldTaken, InvalidExtraField),
    summary="Declare an extra field",
)  # fmt: skip
async def create_extra_field(caller: ContactsWrite, session: Session, body: ExtraFieldIn) -> ExtraFieldOut:
    """Declare a field of persons or companies beyond the built-in ones; from then on `extra` may hold it.

    Its merge tag is `customer.extra.<name>` or `company.extra.<name>`. A name that its owner has already is refused,
    and so is a choice without choices.
    """
    field = await extra_fields.create_extra_field(
        session, owner=body.owner, name=body.name, label=body.label or "", kind=body.kind, choices=body.choices
    )
    return show(field)


@routes.get("", operation_id="list_extra_fields", responses=declare(), summary="List extra fields")
async def list_extra_fields(
    caller: ContactsRead, session: Session, owner: ExtraOwner | None = None,
    name: Annotated[str | None, Query(max_length=60, description="Exactly this name")] = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[ExtraFieldOut]:  # fmt: skip
    """List extra fields, oldest first."""
    rows = await queries.page_of_extra_fields(session, owner=owner, name=name, after=read_cursor(cursor), limit=limit)
    return Page[ExtraFieldOut](**page_of(rows, limit=limit, show=show))


@routes.get(
    "/{field_id}", operation_id="get_extra_field", responses=declare(ExtraFieldNotFound), summary="Get an extra field"
)
async def get_extra_field(caller: ContactsRead, session: Session, field_id: int) -> ExtraFieldOut:
    """Return one extra field."""
    return show(await extra_fields.read_extra_field(session, field_id=field_id))


@routes.patch(
    "/{field_id}", operation_id="update_extra_field",
    responses=declare(ExtraFieldNotFound, ExtraValuesContradict, InvalidExtraField), summary="Change an extra field",
)  # fmt: skip
async def update_extra_field(
    caller: ContactsWrite, session: Session, field_id: int, body: ExtraFieldPatch
) -> ExtraFieldOut:
    """Change label, kind or choices. Name and owner stay.

    A kind or a list of choices that values in the field contradict is a 409 that counts them; nothing is converted.
    """
    fields = body.model_dump(exclude_unset=True)
    return show(await extra_fields.change_extra_field(session, field_id=field_id, fields=fields))


@routes.delete(
    "/{field_id}", operation_id="delete_extra_field", status_code=204,
    responses={
        **declare(ExtraFieldNotFound, ExtraFieldInUse),
        202: {"model": OperationOut, "description": "The values are dropped in the background"},
    },
    response_class=Response, response_model=None, summary="Delete an extra field",
)  # fmt: skip
async def delete_extra_field(
    caller: ContactsWrite,
    session: Session,
    field_id: int,
    drop_values: DropValues = False,  # noqa: FBT002
) -> Response:
    """Delete an extra field. While anyone has a value in it, it is a 409 that counts them, unless `drop_values=true`.

    Up to 10 000 values are dropped at once (204). More are by an operation (202), and the field goes at its end.
    Content that names its merge tag shows the tag's default from then on, and can be saved again only without it.
    """
    operation = await extra_fields.delete_extra_field(session, field_id=field_id, drop_values=drop_values)
    if operation is None:
        return Response(status_code=204)
    location = {"Location": f"/v1/operations/{operation.id}"}
    return Response(show_operation(operation).model_dump_json(), 202, location, media_type="application/json")
