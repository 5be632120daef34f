"""What fills a recipient's merge tags: the same for the message and for the targets of its links (D11, D13)."""

import pytest

from app.contacts.models import Company, Person
from app.content.merge_tags import CATALOGUE
from app.content.tag_columns import COLUMNS, EXTRAS
from app.delivery.merge_data import BY_ID, select_recipients, values_of
from app.mailings.models import Mailing
from app.recipients.models import Recipient, RecipientStatus
from app.tracking.values import read_values

PERSON = {
    "customer.firstname": "first_name", "customer.lastname": "last_name", "customer.salutation": "salutation",
    "customer.title": "title", "customer.cellphone": "cellphone", "customer.direct": "direct",
    "customer.category": "category", "customer.business": "business", "customer.number": "number",
    "customer.position": "position",
}  # fmt: skip
COMPANY = ("name", "department", "country", "phone", "url", "category", "business", "number", "city")
TAGS = (
    "customer.name", "customer.email", *PERSON, *(f"company.{column}" for column in COMPANY), "customer.extra.shoe",
    "company.extra.fleet", "customer.extra.unheard_of",
)  # fmt: skip


class Lines:
    """A mailing's list, one line after another."""

    def __init__(self, session):
        self.session = session

    async def add(self, row):
        self.session.add(row)
        await self.session.flush()
        return row

    async def open(self):
        self.mailing = await self.add(Mailing(name="News"))
        named = {column: f"company's {column}" for column in COMPANY}
        self.company = await self.add(Company(**named, extra={"fleet": 12}))
        fields = {column: f"person's {column}" for column in PERSON.values()}
        self.person = await self.add(Person(name="Kari", company_id=self.company.id, **fields, extra={"shoe": 38.5}))
        return self

    async def values(self, **line):
        """What the message and what the links of a line are filled with."""
        fields = {"mailing_id": self.mailing.id, "name": "Line", "email": "line@example.com", **line}
        recipient = await self.add(Recipient(status=RecipientStatus.READY, **fields))
        params = {"mailing_id": self.mailing.id, "recipient_id": recipient.id}
        row = (await self.session.exec(select_recipients(TAGS, where=BY_ID), params=params)).one()
        return values_of(row, TAGS), await read_values(self.session, recipient_id=recipient.id)


@pytest.fixture
async def lines(session):
    return await Lines(session).open()


def test_every_recipient_tag_of_the_catalogue_has_a_place():
    tags = {tag.name for tag in CATALOGUE if tag.group in ("customer", "company")}
    assert {*COLUMNS, *(f"{prefix}<field>" for prefix in EXTRAS)} == tags


async def test_a_person_has_every_tag_of_person_and_company(lines):
    message, links = await lines.values(person_id=lines.person.id)
    assert message == links
    assert message.keys() == set(TAGS) - {"customer.extra.unheard_of"}
    assert message["customer.name"] == "Line"  # as the list was frozen (D25)
    assert message["customer.firstname"] == "person's first_name"
    assert message["company.department"] == "company's department"
    assert (message["customer.extra.shoe"], message["company.extra.fleet"]) == ("38.5", "12")


async def test_a_companys_own_line_has_the_companys_tags_and_no_persons(lines):
    """D22: name and address are the line's, the rest is the company's."""
    message, links = await lines.values(company_id=lines.company.id)
    assert message == links
    company = {f"company.{column}": f"company's {column}" for column in COMPANY}
    line = {"customer.name": "Line", "customer.email": "line@example.com"}
    assert message == line | company | {"company.extra.fleet": "12"}


async def test_a_line_that_matches_nobody_has_name_and_address_only(lines):
    """D13."""
    message, links = await lines.values()
    assert message == links == {"customer.name": "Line", "customer.email": "line@example.com"}
