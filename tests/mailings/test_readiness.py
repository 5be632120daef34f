"""What stands in a mailing's way, and what could be better, is named (D26)."""

from datetime import UTC, datetime

import httpx2
import pytest

from app.mailings import composing, readiness
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.tokens import Purpose, TokenKey
from tests.conftest import SECRET
from tests.mailings.desk import CONTENT, Desk

SENDER = {"from_name": "Nordlys", "from_email": "post@nordlys.example"}


@pytest.fixture
async def desk(client, database, settings):
    desk = Desk(client, database, settings)
    await list_domain(desk, "nordlys.example", trusted=True)
    return desk


async def list_domain(desk, domain, *, trusted):
    """List a domain whose mail is signed."""
    listed = (await desk.post("sending-domains", {"domain": domain, "trusted": trusted}))["id"]
    key = (await desk.post(f"sending-domains/{listed}/dkim-keys", {"algorithm": "ed25519"}))["id"]
    await desk.post(f"sending-domains/{listed}/dkim-keys/{key}/activate", {"force": True}, status=200)


async def complete(desk, **setup):
    """A mailing of which nothing is to be said but that consent is overridden."""
    known = {**SENDER, "selection_id": await desk.selection(await desk.person())}
    mailing = await desk.mailing(**known | setup)
    await desk.content(mailing)
    return mailing


def without_override(remarks):
    return [remark for remark in remarks if remark[0] != "consent_overridden"]


async def test_a_complete_mailing_has_nothing_to_mend(desk):
    mailing = await complete(desk)
    report = await desk.get(f"mailings/{mailing}/readiness")
    assert report["ready"]
    assert [step["state"] for step in report["steps"]] == ["complete"] * 5
    assert await desk.remarks(mailing) == [("consent_overridden", "warning")]


async def test_an_empty_draft_is_told_all_that_is_missing(desk):
    mailing = (await desk.post("mailings", {"name": "M", "reply_to_rule": "always"}))["id"]
    report = await desk.get(f"mailings/{mailing}/readiness")
    assert not report["ready"]
    assert [step["state"] for step in report["steps"]] == ["not_started"] * 5
    assert await desk.remarks(mailing) == [
        ("no_sender", "problem"), ("no_sender_name", "warning"), ("no_reply_to", "problem"), ("no_content", "problem"),
        ("no_sources", "problem"),
    ]  # fmt: skip
    refused = (await desk.post(f"mailings/{mailing}/send", {}, status=422))["errors"]
    assert [error["pointer"] for error in refused] == ["#/setup", "#/setup", "#/content", "#/recipients"]


WRONG_SETUPS = [
    ({"from_name": ""}, "no_sender_name", "warning"),
    ({"from_email": ""}, "no_sender", "problem"),
    ({"from_email": "åse@nordlys.example"}, "bad_sender", "problem"),
    ({"reply_to": "åse@nordlys.example"}, "bad_reply_to", "problem"),
    ({"reply_to_rule": "always"}, "no_reply_to", "problem"),
    ({"from_email": "post@elsewhere.example"}, "domain_not_listed", "warning"),
    ({"from_email": "post@unchecked.example"}, "domain_not_approved", "warning"),
    ({"from_email": "post@failing.example"}, "domain_not_approved", "warning"),
    ({"from_email": "post@vouched.example"}, "domain_failing", "warning"),
    ({"from_email": "post@bare.example"}, "not_signed", "warning"),
    ({"from_email": "post@news.nordlys.example"}, "domain_not_listed", "warning"),
    ({"from_rule": "our_contact"}, "sender_falls_back", "warning"),
]


async def test_what_is_wrong_with_the_setup_is_named(desk):
    """D5, D6."""
    for domain, trusted in (("unchecked", False), ("failing", False), ("vouched", True)):
        await list_domain(desk, f"{domain}.example", trusted=trusted)
    await desk.post("sending-domains", {"domain": "bare.example", "trusted": True})
    await desk.sql("UPDATE sending_domain SET verdict = 'failing' WHERE domain ~ 'failing|vouched'")
    found = '[{"severity": "ok", "detail": "Fine."}, {"severity": "error", "detail": "There is no SPF record."}]'
    await desk.sql("UPDATE sending_domain SET findings = CAST(:found AS jsonb)", found=found)
    mailing = await complete(desk)
    right = {**SENDER, "from_rule": "always", "reply_to": None, "reply_to_rule": None}
    for setup, code, severity in WRONG_SETUPS:
        await desk.change(mailing, **right | setup)
        assert without_override(await desk.remarks(mailing)) == [(code, severity)]
        report = await desk.get(f"mailings/{mailing}/readiness")
        assert report["ready"] == (severity == "warning")
        if setup.get("from_email") == "post@failing.example":
            detail = report["steps"][0]["remarks"][0]["detail"]
            assert detail.endswith("not approved to send from: its checks fail. There is no SPF record.")


async def test_a_from_domain_that_is_not_approved_stops_the_mailing_where_that_is_asked_for(desk, settings, database):
    """D6."""
    strict = create_app(settings.model_copy(update={"require_approved_domains": True}), database=database)
    async with database.begin() as session:
        key = await create_api_key(session, name="strict", scopes=[Scope.ADMIN])
    approved, unlisted = await complete(desk), await complete(desk, from_email="post@elsewhere.example")
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(strict), base_url="http://test", headers=headers
    ) as client:
        refused = await client.post(f"/v1/mailings/{unlisted}/send")
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/setup")
        assert "elsewhere.example is not among the sending domains" in refused.json()["errors"][0]["detail"]
        assert (await client.post(f"/v1/mailings/{approved}/send")).status_code == 202


WRONG_CONTENTS = [
    ({"subject": ""}, "missing_subject", "problem"),
    ({"html": '<html lang="en"><p>Hi</p></html>'}, "missing_unsubscribe_link", "problem"),
    ({"text": None}, "no_text_part", "warning"),
    ({"text": "Hi"}, "unsubscribe_link_not_in_text", "warning"),
    ({"html": CONTENT["html"].replace("News", "n" * 110_000)}, "too_large", "warning"),
    ({"html": CONTENT["html"].replace("News", '<a href="www.x.example">x</a>')}, "malformed_link", "warning"),
    ({"html": CONTENT["html"].replace("News", '<a href="#part">x</a>')}, "dead_anchor", "warning"),
    ({"html": CONTENT["html"].replace("News", '<img src="https://x.example/i">')}, "missing_alt", "warning"),
    ({"html": CONTENT["html"].replace("News", '<img alt src="i.png">')}, "broken_image", "warning"),
    ({"subject": "[[customer.title]]"}, "empty_tag", "warning"),
    ({"text": "[[link.unsubscribe]] [[project.name]]"}, "empty_tag", "warning"),
]


async def test_what_is_wrong_with_the_content_is_named(desk):
    mailing = await complete(desk)
    for content, code, severity in WRONG_CONTENTS:
        await desk.content(mailing, **content)
        assert await desk.remarks(mailing, "content") == [(code, severity)]
        assert (await desk.get(f"mailings/{mailing}/readiness"))["ready"] == (severity == "warning")


async def test_content_is_judged_before_there_is_a_sender(desk):
    mailing = await complete(desk, from_email="")
    await desk.content(mailing, html=CONTENT["html"].replace("News", "<img alt>"))
    assert await desk.remarks(mailing, "content") == [("broken_image", "warning")]


async def test_empty_tags_are_counted_over_the_list_up_to_a_bound(desk, monkeypatch):
    """D14: how long the list is does not make readiness slow; the report has the whole."""
    persons = [await desk.person(), await desk.person(title="Baker"), await desk.person()]
    mailing = await complete(desk, selection_id=await desk.selection(*persons))
    await desk.content(mailing, subject='[[customer.title]] [[customer.position|default("you")]]')

    async def told():
        steps = (await desk.get(f"mailings/{mailing}/readiness"))["steps"]
        return [remark["detail"] for remark in steps[2]["remarks"]]

    assert await told() == ["[[customer.title]] is empty for 2 of 3 ready recipients."]
    monkeypatch.setattr(readiness, "MOST_SURVEYED", 2)
    assert await told() == ["[[customer.title]] is empty for 1 of the first 2 ready recipients."]


async def test_the_mailings_date_is_the_day_it_is_frozen_and_stays_so(desk, monkeypatch):
    """D11: in previews it is today, by the clock of the schedule."""
    mailing = await complete(desk)
    await desk.content(mailing, html=CONTENT["html"].replace("News", "Sent on [[mailing.date]]"))

    async def preview():
        return (await desk.get(f"mailings/{mailing}/preview"))["html"]

    monkeypatch.setattr(composing, "now", lambda: datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    assert "Sent on 2026-12-31" in await preview()
    await desk.sql("UPDATE mailing SET time_zone = 'Europe/Oslo'")
    assert "Sent on 2027-01-01" in await preview()
    await desk.sql("UPDATE mailing SET send_at = '2027-02-03 23:30+00', recipient_local_time = true")
    assert "Sent on 2027-02-04" in await preview()  # what every clock shows then
    await desk.sql("UPDATE mailing SET send_at = NULL, recipient_local_time = false")
    await desk.send(mailing)
    monkeypatch.setattr(composing, "now", lambda: datetime(2027, 6, 1, tzinfo=UTC))
    [line] = (await desk.get(f"mailings/{mailing}/recipients"))["items"]
    token = TokenKey.from_secret(SECRET).make(Purpose.VIEW, line["id"])
    assert "Sent on 2026-12-31" in (await desk.client.get(f"/v/{token}")).text  # sent by hand: no schedule's clock
