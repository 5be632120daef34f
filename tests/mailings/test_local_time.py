"""Each recipient gets a mailing when it is that time where they are (D27)."""

import pytest

OSLO = "Europe/Oslo"

COVERED = """
    SELECT r.email, r.status, r.reply, c.not_before, c.send_before FROM chunk AS c
    JOIN dispatch AS d ON d.id = c.dispatch_id
    JOIN recipient AS r ON r.mailing_id = d.mailing_id AND r.seq BETWEEN c.first_seq AND c.last_seq
    WHERE d.mailing_id = :mailing_id AND r.status <> 'blocked'
"""


class Zones:
    """A mailing to one person in each time zone, at a time of their own."""

    def __init__(self, house, clock):
        self.house, self.clock = house, clock

    async def freeze(self, zones, **schedule):
        """Schedule it, and let the worker freeze it at its time."""
        house = self.house
        persons = [await house.person(f"p{n}@example.com", zone) for n, zone in enumerate(zones)]
        self.mailing_id = await house.mailing(*persons)
        mailing = await house.scheduled(self.mailing_id, recipient_local_time=True, **schedule)
        self.clock.set(mailing["starts_at"])
        await house.watch()
        await house.work()
        return self.mailing_id

    async def moments(self):
        """When each person is to get it, in order: (from, before), in UTC and without the year."""
        rows = await self.house.sql(COVERED, mailing_id=self.mailing_id)
        assert len({row.email for row in rows}) == len(rows)  # nobody is in two chunks
        return [
            tuple(at.strftime("%m-%d %H:%M") if at else None for at in (row.not_before, row.send_before))
            for row in sorted(rows, key=lambda row: row.email)
        ]


@pytest.fixture
def zones(house, clock):
    return Zones(house, clock)


async def test_everyone_is_sent_to_when_their_own_clock_shows_it(zones, house):
    """At 9 in the mailing's zone for those whose own is not known, and at once where 9 has come."""
    await zones.freeze(
        [OSLO, "Europe/Paris", "America/New_York", "Pacific/Kiritimati", None, "Asia/Kathmandu", OSLO],
        send_at="2026-12-01T09:00", time_zone=OSLO,
    )  # fmt: skip
    europe, new_york, kathmandu = ("12-01 08:00", None), ("12-01 14:00", None), ("12-01 03:15", None)
    assert await zones.moments() == [europe, europe, new_york, (None, None), europe, kathmandu, europe]
    chunks = await house.sql("SELECT not_before FROM chunk ORDER BY number")
    waits = [chunk.not_before for chunk in chunks]
    assert waits[0] is None  # those who are due first are leased first
    assert waits[1:] == sorted(waits[1:])
    assert len(waits) == 4


async def test_clocks_that_are_put_forward_that_night_are_heeded(zones):
    """Oslo jumps over 02:30: as much later. New York has had its summer time for two weeks."""
    await zones.freeze([OSLO, "America/New_York", "Etc/UTC"], send_at="2027-03-28T02:30", time_zone="Etc/UTC")
    assert await zones.moments() == [("03-28 01:30", None), ("03-28 06:30", None), ("03-28 02:30", None)]


async def test_a_time_that_comes_twice_means_the_first(zones):
    await zones.freeze([OSLO], send_at="2027-10-31T02:30", time_zone="Etc/UTC")
    assert await zones.moments() == [("10-31 00:30", None)]


async def test_a_person_whose_time_zone_nobody_knows_gets_the_mailings(zones, house):
    await house.sql(
        "INSERT INTO person (name, email, email_key, time_zone) VALUES ('X', 'p9@x.no', 'p9@x.no', 'Mars/X')"
    )
    [row] = await house.sql("SELECT id FROM person WHERE email = 'p9@x.no'")
    zones.mailing_id = await house.mailing(row.id)
    mailing = await house.scheduled(
        zones.mailing_id, recipient_local_time=True, send_at="2026-12-01T09:00", time_zone="Asia/Tokyo"
    )
    zones.clock.set(mailing["starts_at"])
    await house.watch()
    await house.work()
    assert await zones.moments() == [("12-01 00:00", None)]


async def test_send_before_is_by_each_ones_own_clock_too(zones):
    await zones.freeze(
        [OSLO, "America/New_York"], send_at="2026-12-01T09:00", send_before="2026-12-01T12:00", time_zone=OSLO
    )
    assert await zones.moments() == [("12-01 08:00", "12-01 11:00"), ("12-01 14:00", "12-01 17:00")]


async def test_a_mailing_that_is_too_late_for_every_zone_it_has_expires(zones, house):
    """Workers were away for a day: it is not too late on all of the earth, but for all who would get it."""
    persons = [await house.person("tokyo@example.com", "Asia/Tokyo"), await house.person("oslo@example.com", OSLO)]
    mailing_id = await house.mailing(*persons)
    await house.scheduled(
        mailing_id,
        send_at="2026-12-01T09:00",
        send_before="2026-12-01T10:00",
        time_zone=OSLO,
        recipient_local_time=True,
    )
    zones.clock.set("2026-12-01T12:00:00Z")
    await house.watch()
    await house.work()
    mailing = await house.get(f"mailings/{mailing_id}")
    assert mailing["state"] == "expired"
    assert "every recipient" in mailing["state_reason"]
    listed = (await house.get(f"mailings/{mailing_id}/recipients"))["items"]
    assert {line["status"] for line in listed} == {"ready"}
