"""The rules D18-D22 on the list, each reason with one person."""

import pytest
from sqlalchemy import text
from sqlmodel import select

from app.audience.models import Selection, SelectionMember
from app.consent.models import (
    BlockedAddress,
    BlockReason,
    Consent,
    ConsentAction,
    ConsentState,
    Purpose,
    Subscription,
    SubscriptionType,
)
from app.contacts.models import Person
from app.mailings.models import Mailing
from app.platform.db import run
from app.recipients.models import Recipient
from app.recipients.schemas import AddressesSourceIn
from app.recipients.service import ListRules, add_addresses, add_source, count_list, remove_source, update_list
from app.statistics.service import drift


class World:
    """A mailing of a subscription type, with a selection as its source."""

    def __init__(self, session):
        self.session = session

    async def build(self):
        self.type = SubscriptionType(name="Newsletter")
        self.selection = Selection(name="All")
        self.mailing = Mailing(name="News")
        self.session.add_all([self.type, self.selection, self.mailing])
        await self.session.flush()
        self.source = await add_source(self.session, mailing_id=self.mailing.id, selection_id=self.selection.id)
        return self

    async def person(self, email, *, consent=True, subscribed=True, member=True, **fields):
        key = fields.pop("email_key", email)
        person = Person(name=fields.pop("name", "P"), email=email, email_key=key, **fields)
        self.session.add(person)
        await self.session.flush()
        if consent is not None:
            await self.consent(person, given=consent)
        if subscribed is not None:
            await self.subscribe(person, subscribed=subscribed)
        if member:
            self.session.add(SelectionMember(selection_id=self.selection.id, person_id=person.id))
        await self.session.flush()
        return person

    async def consent(self, person, *, given):
        action = ConsentAction.GIVEN if given else ConsentAction.WITHDRAWN
        line = Consent(person_id=person.id, purpose=Purpose.E_MARKETING, action=action, source="test")
        self.session.add(line)
        await self.session.flush()
        self.session.add(ConsentState(person_id=person.id, purpose="e_marketing", given=given, consent_id=line.id))
        await self.session.flush()

    async def subscribe(self, person, *, subscribed):
        self.session.add(
            Subscription(person_id=person.id, subscription_type_id=self.type.id, subscribed=subscribed, source="test")
        )
        await self.session.flush()

    async def update(self, **rules):
        known = {"subscription_type_id": self.type.id, "override_consent": False, "one_per_address": False}
        membership = rules.pop("membership", True)
        rules = ListRules(**{**known, **rules})
        return await update_list(self.session, mailing_id=self.mailing.id, rules=rules, membership=membership)

    async def lines(self):
        query = select(Recipient).where(Recipient.mailing_id == self.mailing.id).order_by(Recipient.id)
        rows = (await self.session.exec(query.execution_options(populate_existing=True))).all()
        return [(row.email, row.reason or row.status.value) for row in rows]


@pytest.fixture
async def world(session):
    return await World(session).build()


async def test_every_reason_is_given_to_the_person_it_fits(world):
    """D18, D21, D24: nobody is lost silently."""
    await world.person("ready@example.com")
    await world.person("no address", email_key=None)
    await world.person("blocked@example.com")
    await world.person("former@example.com", former_employee=True)
    await world.person("never.asked@example.com", consent=None)
    await world.person("withdrawn@example.com", consent=False)
    await world.person("unsubscribed@example.com", subscribed=False)
    await world.person("no.subscription@example.com", subscribed=None)
    world.session.add(
        BlockedAddress(
            email="blocked@example.com", email_key="blocked@example.com", reason=BlockReason.MANUAL, origin="test"
        )
    )
    await world.session.flush()
    change = await world.update()
    assert (change.added, change.removed, change.changed) == (8, 0, 0)
    assert await world.lines() == [
        ("ready@example.com", "ready"),
        ("no address", "invalid_address"),
        ("blocked@example.com", "blocked_address"),
        ("former@example.com", "former_employee"),
        ("never.asked@example.com", "no_consent"),
        ("withdrawn@example.com", "no_consent"),
        ("unsubscribed@example.com", "no_subscription"),
        ("no.subscription@example.com", "no_subscription"),
    ]
    counts = await count_list(world.session, mailing_id=world.mailing.id)
    assert counts.total == sum(counts.by_status.values()) == 8
    assert await drift(world.session, mailing_id=world.mailing.id) == {}


async def test_overriding_consent_never_overrides_blocked_addresses(world):
    """D21."""
    await world.person("never.asked@example.com", consent=None, subscribed=None)
    await world.person("blocked@example.com", consent=None)
    world.session.add(
        BlockedAddress(
            email="blocked@example.com", email_key="blocked@example.com", reason=BlockReason.COMPLAINT, origin="test"
        )
    )
    await world.session.flush()
    await world.update(override_consent=True)
    assert await world.lines() == [
        ("never.asked@example.com", "ready"),
        ("blocked@example.com", "blocked_address"),
    ]


async def test_any_needs_one_subscription_of_whatever_type(world):
    """D21: *Any*."""
    await world.person("reader@example.com")
    await world.person("nothing@example.com", subscribed=None)
    await world.update(subscription_type_id=None)
    assert await world.lines() == [("reader@example.com", "ready"), ("nothing@example.com", "no_subscription")]


async def test_one_per_address_blocks_the_later_ones_among_those_who_may_get_it(world):
    """D22: an address whose first holder may not get it goes to the next."""
    await world.person("shared@example.com", consent=None)
    await world.person("shared@example.com")
    await world.person("shared@example.com")
    await world.update(one_per_address=True)
    assert [reason for _, reason in await world.lines()] == ["no_consent", "ready", "duplicate"]


async def test_pasted_addresses_match_persons_and_strangers_are_excluded_without_a_statement(world):
    """D20: matched by address; a stated consent is recorded in the ledger."""
    person = await world.person("known@example.com", member=False)
    pasted = ["Known <KNOWN@example.com>", "stranger@example.com", "stranger@example.com", "nonsense"]
    without = AddressesSourceIn(kind="addresses", addresses=pasted)
    await add_addresses(world.session, mailing_id=world.mailing.id, pasted=without, recorded_by="test")
    await world.update()
    assert await world.lines() == [
        ("known@example.com", "ready"),
        ("stranger@example.com", "excluded"),
        ("nonsense", "invalid_address"),
    ]
    stated = {"legal_basis": "consent", "source": "fair, stand 4", "given_on": "2026-09-01"}
    with_statement = AddressesSourceIn(kind="addresses", addresses=["stranger@example.com"], consent=stated)
    await add_addresses(world.session, mailing_id=world.mailing.id, pasted=with_statement, recorded_by="test")
    change = await world.update()
    assert change.changed == 1
    assert ("stranger@example.com", "ready") in await world.lines()
    ledger = (await world.session.exec(select(Consent).where(Consent.email_key == "stranger@example.com"))).one()
    assert (ledger.source, ledger.recorded_by, ledger.person_id) == ("fair, stand 4", "test", None)
    assert person.id


async def test_the_list_follows_its_sources(world):
    """D17, D23."""
    one = await world.person("one@example.com", member=False)
    await world.person("two@example.com")
    await world.update()
    source = await add_source(world.session, mailing_id=world.mailing.id, person_id=one.id)
    assert (await world.update()).added == 1
    await remove_source(world.session, mailing_id=world.mailing.id, source_id=source.id)
    assert (await world.update()).removed == 1
    assert await world.lines() == [("two@example.com", "ready")]


async def test_a_person_in_two_sources_is_one_line(world):
    person = await world.person("once@example.com")
    await add_source(world.session, mailing_id=world.mailing.id, person_id=person.id)
    await world.update()
    assert await world.lines() == [("once@example.com", "ready")]


async def test_without_membership_the_rules_still_count(world):
    """A frozen list takes nobody in, but a withdrawal made in between counts (D47)."""
    await world.person("first@example.com")
    await world.update()
    await world.person("late@example.com")
    state = (await world.session.exec(select(ConsentState))).first()
    state.given = False
    await world.session.flush()
    change = await world.update(membership=False)
    assert (change.added, change.removed, change.changed) == (0, 0, 1)
    assert await world.lines() == [("first@example.com", "no_consent")]


async def test_updating_an_up_to_date_list_changes_nothing(world):
    for number in range(20):
        await world.person(f"p{number}@example.com")
    await world.update()
    change = await world.update()
    assert (change.added, change.removed, change.changed) == (0, 0, 0)


async def test_without_membership_addresses_blocked_or_erased_since_are_left_out(world):
    """D47, D59, D78: a mailing that starts without a new list asks the registry all the same."""
    for name in ("blocked", "erased", "free"):
        await world.person(f"{name}@example.com")
    await world.update()
    world.session.add(
        BlockedAddress(
            email="blocked@example.com", email_key="blocked@example.com", reason=BlockReason.MANUAL, origin="x"
        )
    )
    await run(world.session, text("INSERT INTO erased_address (hash) VALUES (erased_hash('erased@example.com'))"))
    await world.session.flush()
    await world.update(membership=False, override_consent=True)
    assert sorted(await world.lines()) == [
        ("blocked@example.com", "blocked_address"),
        ("erased@example.com", "blocked_address"),
        ("free@example.com", "ready"),
    ]
