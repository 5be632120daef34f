"""Schedules over the API, and what the watch makes of them (D27)."""

from datetime import datetime

OSLO = "Europe/Oslo"


async def test_a_local_time_means_what_clocks_in_the_zone_show(house, clock):
    mailing = await house.scheduled(await house.mailing(), send_at="2026-12-01T09:00", time_zone=OSLO)
    assert mailing["state"] == "scheduled"
    assert mailing["send_at"] == mailing["starts_at"] == "2026-12-01T08:00:00Z"
    assert (mailing["time_zone"], mailing["recipient_local_time"], mailing["send_before"]) == (OSLO, False, None)


READ = (
    # send_at, zone, moment
    ("2026-12-01T09:00:00+01:00", None, "2026-12-01T08:00:00Z"),
    ("2026-12-01T08:00:00Z", OSLO, "2026-12-01T08:00:00Z"),
    ("2026-12-01 09:00", OSLO, "2026-12-01T08:00:00Z"),
    ("2027-07-01T09:00", OSLO, "2027-07-01T07:00:00Z"),  # summer time
    ("2027-10-31T02:30", OSLO, "2027-10-31T00:30:00Z"),  # comes twice: the first
    ("2027-10-31T02:30:00+01:00", OSLO, "2027-10-31T01:30:00Z"),  # the second, as one says it
    ("2027-03-28T03:00", OSLO, "2027-03-28T01:00:00Z"),  # the first minute after the jump
)


async def test_times_are_read_by_offset_or_by_zone(house, clock):
    mailing_id = await house.mailing()
    for send_at, zone, moment in READ:
        mailing = await house.scheduled(mailing_id, send_at=send_at, time_zone=zone)
        assert mailing["send_at"] == moment, send_at


REFUSED = (
    # body, pointer, words
    ({"send_at": "2026-12-01T09:00"}, "#/time_zone", "Europe/Oslo"),
    ({"send_at": "2026-12-01T09:00", "time_zone": "Europe/Olso"}, "#/time_zone", "IANA"),
    ({"send_at": "2026-11-24T12:59", "time_zone": OSLO}, "#/send_at", "it is 2026-11-24T13:00:00+01:00"),
    ({"send_at": "2026-11-24T12:00:00Z"}, "#/send_at", "past"),
    ({"send_at": "2062-12-01T09:00:00Z"}, "#/send_at", "two years"),
    ({"send_at": "0001-01-01T00:00", "time_zone": OSLO}, "#/send_at", "year 1"),
    ({"send_at": "2027-03-28T02:30", "time_zone": OSLO}, "#/send_at", "It would be 2027-03-28T03:30:00"),
    ({"send_at": "2026-12-01"}, "#/send_at", "date and time"),
    ({"send_at": 1796112000}, "#/send_at", "date and time"),
    ({"send_at": "2026-02-30T09:00:00Z"}, "#/send_at", "no such date"),
    ({"send_at": "2026-12-01T25:00:00Z"}, "#/send_at", "no such date"),
    ({"send_at": "2026-12-01T09:00:00Z", "send_before": "2026-12-01T09:00:00Z"}, "#/send_before", "later"),
    ({"send_at": "2026-12-01T09:00:00Z", "send_before": "2026-12-01T10:00"}, "#/time_zone", "send_before"),
    (
        {"send_at": "2027-03-28T00:30", "send_before": "2027-03-28T02:30", "time_zone": OSLO},
        "#/send_before",
        "put forward",
    ),
    ({"send_at": "2026-12-01T09:00:00Z", "recipient_local_time": True}, "#/time_zone", "recipient_local_time"),
    ({"send_at": "2026-12-01T09:00:00Z", "sendbefore": "2026-12-02T09:00:00Z"}, "#/sendbefore", ""),
    ({}, "#/send_at", ""),
)


async def test_a_schedule_that_cannot_be_is_refused_where_it_is_wrong(house, clock):
    mailing_id = await house.mailing()
    for body, pointer, words in REFUSED:
        problem = await house.scheduled(mailing_id, 422, **body)
        [error] = problem["errors"]
        assert error["pointer"] == pointer, body
        assert words in error["detail"], body
    assert await house.state(mailing_id) == "draft"


async def test_an_incomplete_mailing_cannot_be_scheduled(house, clock):
    """D26."""
    mailing_id = await house.mailing()
    await house.client.put(f"/v1/mailings/{mailing_id}/content", json={"subject": "", "html": ""})
    problem = await house.scheduled(mailing_id, 422, send_at="2026-12-01T08:00:00Z")
    assert problem["type"].endswith("not-ready")
    assert "#/content" in {error["pointer"] for error in problem["errors"]}
    assert await house.state(mailing_id) == "draft"


async def test_it_is_started_when_its_time_has_come_and_not_before(house, clock):
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-24T12:10:00Z")
    clock.add(minutes=9, seconds=59)
    await house.watch()
    assert await house.state(mailing_id) == "scheduled"
    clock.add(seconds=1)
    await house.watch()
    assert await house.state(mailing_id) == "preparing"
    await house.work()
    assert await house.state(mailing_id) == "sending"
    assert await house.events(mailing_id) == ["scheduled", "preparing", "started"]


async def test_a_moved_schedule_counts_and_the_old_one_does_not(house, clock):
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-24T12:10:00Z", send_before="2026-11-24T13:00:00Z")
    moved = await house.scheduled(mailing_id, send_at="2026-11-24T12:20:00Z")
    assert (moved["send_at"], moved["send_before"]) == ("2026-11-24T12:20:00Z", None)
    clock.add(minutes=15)
    await house.watch()
    assert await house.state(mailing_id) == "scheduled"
    clock.add(minutes=5)
    await house.watch()
    assert await house.state(mailing_id) == "preparing"


async def test_an_unscheduled_mailing_is_a_draft_and_is_not_started(house, clock):
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-24T12:10:00Z", time_zone=OSLO, recipient_local_time=True)
    await house.post(f"mailings/{mailing_id}/unschedule")
    clock.add(days=1)
    await house.watch()
    mailing = await house.get(f"mailings/{mailing_id}")
    assert (mailing["state"], mailing["send_at"], mailing["starts_at"], mailing["time_zone"]) == (
        "draft",
        None,
        None,
        None,
    )
    assert mailing["recipient_local_time"] is False
    assert await house.events(mailing_id) == ["scheduled", "unscheduled"]


async def test_sending_a_scheduled_mailing_starts_it_early_and_for_everyone(house, clock):
    mailing_id = await house.mailing(await house.person("a@example.com", "America/New_York"))
    await house.scheduled(mailing_id, send_at="2026-12-01T09:00", time_zone=OSLO, recipient_local_time=True)
    await house.post(f"mailings/{mailing_id}/send", status=202)
    await house.work()
    mailing = await house.get(f"mailings/{mailing_id}")
    assert (mailing["state"], mailing["send_at"]) == ("sending", None)
    assert await house.sql("SELECT not_before FROM chunk") == [(None,)]


async def test_an_overdue_schedule_past_send_before_expires(house, clock):
    """D27: never sent late by surprise."""
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-24T13:00:00Z", send_before="2026-11-24T15:00:00Z")
    clock.set("2026-11-24T15:00:00Z")
    await house.watch()
    mailing = await house.get(f"mailings/{mailing_id}")
    assert mailing["state"] == "expired"
    assert "before 2026-11-24T15:00:00Z" in mailing["state_reason"]
    assert await house.work() == 0
    assert await house.events(mailing_id) == ["scheduled", "expired"]


async def test_an_overdue_schedule_without_send_before_is_sent_however_late(house, clock):
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-24T13:00:00Z")
    clock.add(days=3)
    await house.watch()
    assert await house.state(mailing_id) == "preparing"


async def test_a_mailing_whose_preparing_waited_past_send_before_expires_too(house, clock):
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-24T13:00:00Z", send_before="2026-11-24T15:00:00Z")
    clock.set("2026-11-24T13:00:00Z")
    await house.watch()
    clock.set("2026-11-25T13:00:00Z")  # the workers were away
    await house.work()
    mailing = await house.get(f"mailings/{mailing_id}")
    assert mailing["state"] == "expired"
    operation = await house.get(f"operations/{mailing['prepare_operation_id']}")
    assert (operation["state"], operation["error"]) == ("failed", {"detail": mailing["state_reason"]})
    assert await house.sql("SELECT id FROM dispatch") == []


async def test_an_expired_mailing_can_be_scheduled_again_and_be_a_draft_again(house, clock):
    mailing_id = await house.mailing()
    for again in ("schedule", "unschedule", "send"):
        await house.scheduled(mailing_id, send_at=clock.at.isoformat().replace("12:00", "13:00"),
                              send_before=clock.at.isoformat().replace("12:00", "15:00"))  # fmt: skip
        clock.add(days=1)
        await house.watch()
        assert await house.state(mailing_id) == "expired"
        if again != "schedule":
            await house.post(f"mailings/{mailing_id}/{again}")
            assert await house.state(mailing_id) == {"unschedule": "draft", "send": "preparing"}[again]


async def test_what_stands_in_the_way_at_its_time_makes_it_a_draft_that_says_why(house, clock):
    person = await house.person("kari@example.com")
    mailing_id = await house.mailing(person)
    await house.scheduled(mailing_id, send_at="2026-11-24T13:00:00Z")
    await house.post("blocked-addresses", {"email": "kari@example.com", "origin": "asked by phone"}, 201)
    clock.set("2026-11-24T13:00:00Z")
    await house.watch()
    await house.work()
    mailing = await house.get(f"mailings/{mailing_id}")
    assert (mailing["state"], mailing["send_at"]) == ("draft", None)
    assert "scheduled for 2026-11-24T13:00:00Z" in mailing["state_reason"]
    assert "Nobody on the list may get this mailing (1 blocked_address)" in mailing["state_reason"]
    assert await house.events(mailing_id) == ["scheduled", "preparing", "not_started"]


async def test_setup_and_content_of_a_scheduled_mailing_are_closed_and_say_the_way_out(house, clock):
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-25T13:00:00Z")
    answers = [
        await house.client.patch(f"/v1/mailings/{mailing_id}", json={"name": "Other"}),
        await house.client.put(f"/v1/mailings/{mailing_id}/content", json={"subject": "x", "html": "x"}),
        await house.client.delete(f"/v1/mailings/{mailing_id}"),
    ]
    assert [answer.status_code for answer in answers] == [409] * 3
    assert "Unschedule it first" in answers[0].json()["detail"]


async def test_sources_of_a_scheduled_mailing_may_change_until_it_starts(house, clock):
    """D17."""
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-25T13:00:00Z")
    ola = await house.person("ola@example.com")
    await house.post(f"mailings/{mailing_id}/sources", {"kind": "person", "person_id": ola}, 201)
    listed = (await house.get(f"mailings/{mailing_id}/recipients"))["items"]
    assert {line["email"] for line in listed} == {"kari@example.com", "ola@example.com"}
    await house.client.delete(f"/v1/persons/{ola}")
    await house.work()
    listed = (await house.get(f"mailings/{mailing_id}/recipients"))["items"]
    assert {line["email"] for line in listed} == {"kari@example.com"}


async def test_a_copy_of_a_scheduled_mailing_has_no_schedule(house, clock):
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2026-11-25T13:00:00Z", time_zone=OSLO, recipient_local_time=True)
    copy = await house.post(f"mailings/{mailing_id}/copy")
    assert (copy["state"], copy["send_at"], copy["starts_at"], copy["recipient_local_time"]) == (
        "draft", None, None, False,
    )  # fmt: skip


async def test_in_recipients_own_time_preparing_begins_with_the_first_zone_on_earth(house, clock):
    mailing_id = await house.mailing()
    mailing = await house.scheduled(
        mailing_id,
        send_at="2026-12-01T09:00",
        time_zone=OSLO,
        recipient_local_time=True,
        send_before="2026-12-01T10:00",
    )
    assert (mailing["send_at"], mailing["starts_at"]) == ("2026-12-01T08:00:00Z", "2026-11-30T19:00:00Z")
    clock.set("2026-11-30T19:00:00Z")
    await house.watch()
    assert await house.state(mailing_id) == "preparing"


async def test_in_recipients_own_time_it_expires_once_send_before_is_past_in_the_last_zone(house, clock):
    for at, state in (("2026-12-01T21:59:59Z", "preparing"), ("2026-12-01T22:00:00Z", "expired")):
        clock.set("2026-11-24T12:00:00Z")
        mailing_id = await house.mailing()
        await house.scheduled(
            mailing_id, send_at="2026-12-01T09:00", time_zone=OSLO, recipient_local_time=True,
            send_before="2026-12-01T10:00",
        )  # fmt: skip
        clock.at = datetime.fromisoformat(at)
        await house.watch()
        assert await house.state(mailing_id) == state
