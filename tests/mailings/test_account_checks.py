"""Readiness tells whether a sending account may send the mailing (D26)."""

import pytest

from app.delivery import account_queries
from tests.mailings.desk import CONTENT, Desk

SENDER = {"from_name": "Nordlys", "from_email": "post@nordlys.example"}


@pytest.fixture
async def desk(client, database, settings):
    desk = Desk(client, database, settings)
    await desk.post("sending-domains", {"domain": "nordlys.example", "trusted": True})
    await desk.post("sending-domains", {"domain": "fjord.example", "trusted": True})
    return desk


async def account(desk, **changes):
    return (await desk.post("sending-accounts", {"name": "Oslo", "host": "smtp.example.com", **changes}))["id"]


async def mailing_of(desk, **setup):
    mailing = await desk.mailing(**{**SENDER, "selection_id": await desk.selection(await desk.person()), **setup})
    await desk.content(mailing, **CONTENT)
    return mailing


async def about_accounts(desk, mailing):
    steps = (await desk.get(f"mailings/{mailing}/readiness"))["steps"]
    found = [remark for step in steps for remark in step["remarks"] if "account" in remark["code"]]
    return [(remark["code"], remark["severity"], remark["detail"]) for remark in found]


async def test_account_that_serves_the_domain_is_needed(desk):
    mailing = await mailing_of(desk)
    assert await about_accounts(desk, mailing) == []  # BUDSTIKKE_SMTP_URL is the one
    only = await account(desk, from_domains=["fjord.example"])
    words = "No enabled sending account serves the From domain nordlys.example."
    assert await about_accounts(desk, mailing) == [("no_sending_account", "problem", words)]
    sent = await desk.client.post(f"/v1/mailings/{mailing}/send")
    assert (sent.status_code, sent.json()["errors"]) == (422, [{"pointer": "#/setup", "detail": words}])
    await desk.client.patch(f"/v1/sending-accounts/{only}", json={"from_domains": []})
    assert await about_accounts(desk, mailing) == []


async def test_account_that_a_mailing_names_must_be_enabled(desk):
    named = await account(desk, enabled=False)
    await account(desk, name="Bergen")
    mailing = await mailing_of(desk, sending_account_id=named)
    [(code, severity, words)] = await about_accounts(desk, mailing)
    assert (code, severity) == ("no_sending_account", "problem")
    assert words == f"Sending account {named}, which the mailing names, is not enabled."


async def test_accounts_that_all_fail_are_a_warning(desk, session):
    first, second = await account(desk), await account(desk, name="Bergen")
    mailing = await mailing_of(desk)
    failure = {"failures": 3, "is_fault": False, "wait": 60.0, "words": "421 too busy"}
    await account_queries.note_failure(session, account_id=first, **failure)
    assert await about_accounts(desk, mailing) == []
    await account_queries.note_failure(session, account_id=second, **failure)
    words = "No sending account works at this moment. Oslo: 421 too busy; Bergen: 421 too busy"
    assert await about_accounts(desk, mailing) == [("accounts_failing", "warning", words)]


async def test_domain_of_contacts_that_nobody_serves_is_a_warning(desk):
    await account(desk, from_domains=["nordlys.example"])
    mailing = await mailing_of(desk, from_rule="our_contact")
    words = "No enabled sending account serves fjord.example: a contact there stops the mailing."
    assert await about_accounts(desk, mailing) == [("domain_without_account", "warning", words)]
