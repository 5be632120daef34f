"""`/v1/interests` and `/v1/persons/{id}/interests`."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from app.contacts import interest_queries as queries
from app.contacts import interests
from app.contacts.errors import InterestNotFound, InterestTaken, PersonNotFound, UnknownInterest
from app.contacts.models import Interest
from app.contacts.schemas import InterestIn, InterestOut, PersonInterestsIn, PersonInterestsOut
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="interests")


def show(interest: Interest) -> InterestOut:
    """Return an interest as the API shows it."""
    return InterestOut(**interest.model_dump())


def show_all(rows: Sequence[Interest]) -> PersonInterestsOut:
    """Return a person's interests as the API shows them."""
    return PersonInterestsOut(items=[show(interest) for interest in rows])


@routes.post(
    "/v1/interests", operation_id="create_interest", status_code=201, responses=declare(InterestTaken),
    summary="Create an interest",
)  # fmt: skip
async def create_interest(caller: ContactsWrite, session: Session, body: InterestIn) -> InterestOut:
    """Add an interest that persons can have. Its name must be free."""
    return show(await interests.create_interest(session, name=body.name))


@routes.get("/v1/interests", operation_id="list_interests", responses=declare(), summary="List interests")
async def list_interests(
    caller: ContactsRead, session: Session,
    name: Annotated[str | None, Query(max_length=200, description="Exactly this name")] = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[InterestOut]:  # fmt: skip
    """List interests, oldest first."""
    rows = await queries.page_of_interests(session, name=name, after=read_cursor(cursor), limit=limit)
    return Page[InterestOut](**page_of(rows, limit=limit, show=show))


@routes.get(
    "/v1/interests/{interest_id}", operation_id="get_interest", responses=declare(InterestNotFound),
    summary="Get an interest",
)  # fmt: skip
async def get_interest(caller: ContactsRead, session: Session, interest_id: int) -> InterestOut:
    """Return one interest. Who has it is what a selection by this interest tells."""
    return show(await interests.read_interest(session, interest_id=interest_id))


@routes.patch(
    "/v1/interests/{interest_id}", operation_id="rename_interest", responses=declare(InterestNotFound, InterestTaken),
    summary="Rename an interest",
)  # fmt: skip
async def rename_interest(caller: ContactsWrite, session: Session, interest_id: int, body: InterestIn) -> InterestOut:
    """Give an interest another name, which must be free. Persons keep it."""
    return show(await interests.rename_interest(session, interest_id=interest_id, name=body.name))


@routes.delete(
    "/v1/interests/{interest_id}", operation_id="delete_interest", status_code=204,
    responses=declare(InterestNotFound), summary="Delete an interest",
)  # fmt: skip
async def delete_interest(caller: ContactsWrite, session: Session, interest_id: int) -> None:
    """Delete an interest. Nobody has it any more."""
    await interests.delete_interest(session, interest_id=interest_id)


@routes.get(
    "/v1/persons/{person_id}/interests", operation_id="get_interests", responses=declare(PersonNotFound),
    summary="Get a person's interests",
)  # fmt: skip
async def get_interests(caller: ContactsRead, session: Session, person_id: int) -> PersonInterestsOut:
    """Return all interests that the person has."""
    return show_all(await interests.interests_of(session, person_id=person_id))


@routes.put(
    "/v1/persons/{person_id}/interests", operation_id="set_interests",
    responses=declare(PersonNotFound, UnknownInterest), summary="Set a person's interests",
)  # fmt: skip
async def set_interests(
    caller: ContactsWrite, session: Session, person_id: int, body: PersonInterestsIn
) -> PersonInterestsOut:
    """Give the person exactly these interests; an empty list takes all away. Returns them."""
    return show_all(await interests.set_interests(session, person_id=person_id, interest_ids=body.interest_ids))
