"""Registering links, and a mailing's links with their clicks."""

import pytest

from app.mailings.models import Mailing
from app.tracking import link_table
from app.tracking.answers import location_of
from app.tracking.link_table import LinkTable
from app.tracking.models import Engagement, EventKind, Link, Verdict
from app.tracking.service import register_links
from app.tracking.values import read_values

TARGETS = ["https://example.com/b", "https://example.com/a", "https://example.com/b"]


@pytest.fixture
async def mailing_id(database):
    async with database.begin() as session:
        mailing = Mailing(name="M")
        session.add(mailing)
        await session.flush()
        return mailing.id


async def test_links_come_back_in_the_order_of_their_positions(session, mailing_id):
    ids = await register_links(session, mailing_id=mailing_id, targets=TARGETS)
    assert len(set(ids)) == 3
    assert await register_links(session, mailing_id=mailing_id, targets=TARGETS) == ids


async def test_a_changed_target_is_another_link_and_the_old_one_keeps_its_own(session, mailing_id):
    old = await register_links(session, mailing_id=mailing_id, targets=TARGETS)
    new = await register_links(session, mailing_id=mailing_id, targets=["https://example.com/other", *TARGETS[1:]])
    assert new[0] not in old
    assert new[1:] == old[1:]
    assert (await session.get(Link, old[0])).target == TARGETS[0]


async def test_links_are_listed_in_the_order_of_the_message_whenever_they_came_to_be(client, database, mailing_id):
    async with database.begin() as session:
        await register_links(session, mailing_id=mailing_id, targets=["https://example.com/old", *TARGETS[1:]])
        await register_links(session, mailing_id=mailing_id, targets=TARGETS, frozen=True)
    path = f"/v1/mailings/{mailing_id}/links"
    first = (await client.get(path, params={"limit": 1})).json()
    rest = (await client.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["target"] for item in first["items"] + rest["items"]] == TARGETS


async def test_a_frozen_mailing_shows_only_the_links_that_were_sent(client, database, mailing_id):
    async with database.begin() as session:
        await register_links(session, mailing_id=mailing_id, targets=["https://example.com/draft"])
        await register_links(session, mailing_id=mailing_id, targets=["https://example.com/sent"], frozen=True)
    shown = (await client.get(f"/v1/mailings/{mailing_id}/links")).json()["items"]
    assert [item["target"] for item in shown] == ["https://example.com/sent"]


async def test_a_mailings_links_show_their_clicks_by_verdict(client, database, mailing_id):
    async with database.begin() as session:
        ids = await register_links(session, mailing_id=mailing_id, targets=TARGETS)
        for link_id, verdict in ((ids[0], Verdict.HUMAN), (ids[0], Verdict.HUMAN), (ids[2], Verdict.MACHINE)):
            session.add(
                Engagement(
                    kind=EventKind.CLICK, mailing_id=mailing_id, recipient_id=1, link_id=link_id, verdict=verdict,
                    rule_version=1,
                )
            )  # fmt: skip
    first = (await client.get(f"/v1/mailings/{mailing_id}/links", params={"limit": 2})).json()
    rest = (
        await client.get(f"/v1/mailings/{mailing_id}/links", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    shown = [
        (item["position"], item["target"], item["clicks"], item["clickers"]["human"])
        for item in first["items"] + rest["items"]
    ]
    assert shown == [
        (0, TARGETS[0], {"human": 2, "machine": 0}, 1),
        (1, TARGETS[1], {"human": 0, "machine": 0}, 0),
        (2, TARGETS[2], {"human": 0, "machine": 1}, 0),
    ]
    assert (await client.get("/v1/mailings/999999/links")).status_code == 404


async def test_the_table_learns_a_link_registered_after_it_was_filled(database, mailing_id):
    table = LinkTable(database)
    await table.fill()
    async with database.begin() as session:
        ids = await register_links(session, mailing_id=mailing_id, targets=TARGETS)
    assert table.get(ids[1]) is None
    found = await table.find(ids[1], within=5)
    assert found is not None
    assert found == (mailing_id, 0, TARGETS[1].encode())
    assert table.get(ids[2]) is not None  # the whole mailing's, by one query


async def test_the_table_is_filled_page_by_page_and_keeps_each_target_once(database, mailing_id, monkeypatch):
    monkeypatch.setattr(link_table, "PAGE", 2)
    table = LinkTable(database)
    await table.fill()
    same = "https://example.com/samme/[[customer.name]]/å"
    async with database.begin() as session:
        ids = await register_links(session, mailing_id=mailing_id, targets=[*TARGETS, same, same, "https://å.no/å"])
    await table.find(ids[0], within=5)
    before = len(table)
    await table.fill()
    assert len(table) == before
    assert not table._later
    assert [table.get(ids[place])[2] for place in (1, 3, 4, 5)] == [
        TARGETS[1].encode(), same.encode(), same.encode(), b"https://%C3%A5.no/%C3%A5",
    ]  # fmt: skip
    assert table._octets.count(same.encode()) == 1
    assert table.get(ids[-1] + 1) is None


async def test_a_link_that_does_not_exist_is_asked_for_once(database):
    table = LinkTable(database)
    assert await table.find(4711, within=5) is None
    table._database = None  # another question would fail
    assert await table.find(4711, within=5) is None


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("https://example.com/a?b=1&c=%20#d", b"https://example.com/a?b=1&c=%20#d"),
        ("https://example.com/blåbær", b"https://example.com/bl%C3%A5b%C3%A6r"),
        ("https://example.com/a\r\nSet-Cookie: x", b"https://example.com/a%0D%0ASet-Cookie:%20x"),
    ],
)
def test_a_location_is_the_target_with_only_impossible_octets_encoded(target, location):
    assert location_of(target) == location


async def test_values_of_a_recipient_who_is_gone_are_empty(session):
    assert await read_values(session, recipient_id=4711) == {}
