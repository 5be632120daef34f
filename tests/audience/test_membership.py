"""Who is in selections, as a statement that others put inside theirs."""

from sqlalchemy import text

from app.audience.membership import membership
from app.audience.models import Selection, SelectionCompany, SelectionMember
from app.contacts.models import Company, Person


async def who(session, *selection_ids) -> list[tuple]:
    found = await membership(session, selection_ids=selection_ids)
    assert all(name.startswith("m_") for name in found.params)
    inside = text(f"WITH m AS ({found.sql}) SELECT selection_id, person_id, company_id FROM m ORDER BY 1, 2, 3")
    return [tuple(row) for row in await session.exec(inside, params=dict(found.params))]


async def test_static_selections_bring_their_persons_and_companies(session):
    first, second = Selection(name="First"), Selection(name="Second")
    person, company = Person(name="Kari"), Company(name="Fjord")
    session.add_all([first, second, person, company])
    await session.flush()
    for selection in (first, second):
        session.add(SelectionMember(selection_id=selection.id, person_id=person.id))
    session.add(SelectionCompany(selection_id=first.id, company_id=company.id))
    await session.flush()
    assert await who(session, first.id) == [(first.id, person.id, None), (first.id, None, company.id)]
    assert await who(session, second.id, second.id, 987654321) == [(second.id, person.id, None)]
    assert await who(session) == []
