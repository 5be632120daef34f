"""Who a mailing is from, and who gets the replies, for each recipient (D5)."""

import asyncio
import email
import email.policy

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import ARRAY, Text, bindparam, text

from app.content.headers import UnsendableAddressError, mailbox
from app.content.links import fill_target
from app.content.tag_columns import is_usable
from app.delivery import queries
from app.delivery.service import load_plan
from app.mailings.composing import Composer, render_test
from app.mailings.service import read_mailing
from app.platform.db import run
from app.platform.tokens import Purpose, TokenKey
from app.tracking.values import read_values
from tests.conftest import ROOT, SECRET
from tests.mailings.desk import CONTENT, Desk

TOKENS = TokenKey.from_secret(SECRET)
FALLBACK = {"from_name": "Nordlys", "from_email": "post@nordlys.example"}
HTML = CONTENT["html"].replace(
    "News</p>", '[[sender.name]], [[sender.email]]. <a href="https://x.example/?of=[[sender.email]]">Mine</a></p>'
)


@pytest.fixture
async def desk(client, database, settings):
    desk = Desk(client, database, settings)
    await desk.post("sending-domains", {"domain": "nordlys.example", "trusted": True})
    await desk.post("sending-domains", {"domain": "blåbær.example", "trusted": True})
    await desk.post("sending-domains", {"domain": "unchecked.example"})
    return desk


async def test_replies_follow_the_rule_that_was_told_or_the_address_that_was_given(desk):
    for told, rule in (
        ({}, "use_from"),
        ({"reply_to": "r@x.example"}, "always"),
        ({"reply_to": "r@x.example", "reply_to_name": "R", "reply_to_rule": "always"}, "always"),
        ({"reply_to_rule": "our_contact"}, "our_contact"),
        ({"reply_to_rule": "always"}, "always"),
        ({"reply_to_rule": None, "reply_to": ""}, "use_from"),
    ):
        mailing = await desk.mailing(**told)
        assert (await desk.get(f"mailings/{mailing}"))["reply_to_rule"] == rule


async def test_rules_that_make_no_sense_are_refused_with_their_place(desk):
    for told, pointer in (
        ({"reply_to_rule": "use_from", "reply_to": "r@x.example"}, "#/reply_to"),
        ({"reply_to_rule": "use_from", "reply_to_name": "R"}, "#/reply_to_name"),
        ({"reply_to_name": "R"}, "#/reply_to_name"),
        ({"from_rule": "use_from"}, "#/from_rule"),
        ({"reply_to_rule": "owner"}, "#/reply_to_rule"),
        ({"reply_to": "nobody"}, "#/reply_to"),
    ):
        answer = await desk.client.post("/v1/mailings", json={"name": "M", **told})
        assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (422, [pointer])


async def test_rules_for_replies_change_with_what_is_told_of_them(desk):
    mailing = await desk.mailing(reply_to="r@x.example", reply_to_name="R")
    refused = await desk.change(mailing, status=422, reply_to_rule="use_from")
    assert [error["pointer"] for error in refused["errors"]] == ["#/reply_to_rule", "#/reply_to_rule"]
    changed = await desk.change(mailing, reply_to_rule="support_contact")
    assert (changed["reply_to_rule"], changed["reply_to"]) == ("support_contact", "r@x.example")
    changed = await desk.change(mailing, reply_to=None)
    assert (changed["reply_to_rule"], changed["reply_to_name"]) == ("support_contact", "R")  # the name stands in still
    changed = await desk.change(mailing, reply_to_rule=None, reply_to="s@x.example")
    assert (changed["reply_to_rule"], changed["reply_to"]) == ("always", "s@x.example")
    changed = await desk.change(mailing, reply_to=None)
    assert (changed["reply_to_rule"], changed["reply_to_name"]) == ("use_from", "")


OLA = {"name": "Ola Selger", "email": "ola@nordlys.example"}


CONTACTS = [
    (OLA, ("Ola Selger", "ola@nordlys.example")),
    ({"name": 'Øyvind "X", Y', "email": "Oyvind.B@NORDLYS.example"}, ('Øyvind "X", Y', "Oyvind.B@nordlys.example")),
    ({"email": "siv@blåbær.example"}, ("Nordlys", "siv@xn--blbr-roah.example")),
    (None, ("Nordlys", "post@nordlys.example")),
    ({"name": "Ola Selger"}, ("Nordlys", "post@nordlys.example")),
    ({"name": "Ola", "email": "ola@unchecked.example"}, ("Nordlys", "post@nordlys.example")),
    ({"name": "Ola", "email": "ola@sub.nordlys.example"}, ("Nordlys", "post@nordlys.example")),
    ({"name": "Åse", "email": "åse@nordlys.example"}, ("Nordlys", "post@nordlys.example")),  # no header can have it
]


async def test_the_contact_is_the_sender_where_its_domain_is_approved(desk):
    """D5: in the header, in the tags, and in the targets of links; otherwise all of them have the fallback."""
    kari = await desk.person(support_contact=OLA)
    mailing = await desk.mailing(selection_id=await desk.selection(kari), from_rule="our_contact", **FALLBACK)
    await desk.content(mailing, html=HTML)
    for contact, sender in CONTACTS:
        await desk.client.patch(f"/v1/persons/{kari}", json={"our_contact": None})  # a merge would keep its name
        answer = await desk.client.patch(f"/v1/persons/{kari}", json={"our_contact": contact})
        assert answer.status_code == 200, answer.text
        preview = await desk.get(f"mailings/{mailing}/preview")
        [shown] = email.message_from_string(f"From: {preview['sender']}", policy=email.policy.default)["From"].addresses
        assert ((shown.display_name, shown.addr_spec), preview["reply_to"]) == (sender, None)
        assert f"<p>{sender[0]}, {sender[1]}." in preview["html"].replace("&quot;", '"')
        async with desk.database.begin() as session:
            both = "SELECT r.id, l.target FROM recipient AS r JOIN link AS l USING (mailing_id) WHERE mailing_id = :id"
            found = (await run(session, text(both), id=mailing)).one()
            values = await read_values(session, recipient_id=found.id)
        assert fill_target(found.target, values) == f"https://x.example/?of={sender[1].replace('@', '%40')}"
        assert fill_target(found.target, {}) == "https://x.example/?of=post%40nordlys.example"  # database away (D41)


async def test_sql_and_the_header_agree_on_what_can_be_sent(desk):
    """Or a contact's address would fail a recipient's message instead of being passed over."""
    locals_ = [*(f"a{chr(code)}b" for code in range(33, 0x180)), "a.b", ".a", "a.", "a..b", "", "a" * 300, "A.B-c+d"]
    addresses = [f"{local}@nordlys.example" for local in locals_] + ["a@b@nordlys.example", "nordlys.example", "a@"]
    statement = text(
        f"SELECT p.our_contact_email AS address, coalesce({is_usable('our_contact')}, false) AS usable "
        "FROM unnest(:addresses) AS p (our_contact_email)"
    ).bindparams(bindparam("addresses", type_=ARRAY(Text)))
    async with desk.database.begin() as session:
        found = {row.address: row.usable for row in await run(session, statement, addresses=addresses)}

    def can_be_sent(address):
        try:
            return mailbox("From", "", address) == f"From: {address}\r\n"
        except UnsendableAddressError:
            return False

    assert found == {address: can_be_sent(address) for address in addresses}
    assert set(found.values()) == {True, False}


async def sent(desk, mailing):
    """Return the messages of a mailing that is being sent, by address, as its senders make them."""
    async with desk.database.begin() as session:
        dispatch = await queries.find_dispatch(session, mailing_id=mailing)
        plan, _ = await load_plan(session, dispatch_id=dispatch.id, settings=desk.context.settings, tokens=TOKENS)
        rows = await queries.load_chunk(session, mailing_id=mailing, tags=plan.tags, first_seq=1, last_seq=100)
        made = {row.email: bytes(plan.render(row, plan.tags)) for row in rows}
    return {
        address: email.message_from_bytes(message, policy=email.policy.default) for address, message in made.items()
    }


async def test_what_is_sent_tested_and_viewed_has_the_same_sender_as_the_preview(desk):
    """D5, D14, D15, D48; a retry is made anew, from the contact of then, under the same Message-ID (D33)."""
    kari = await desk.person(our_contact=OLA, support_contact={"name": "Siv", "email": "help@nordlys.example"})
    await desk.person()
    per = await desk.person(our_contact={"name": "Per", "email": "per@elsewhere.example"})
    selection = await desk.selection(kari, per)
    mailing = await desk.mailing(
        selection_id=selection, from_rule="our_contact", reply_to_rule="support_contact", reply_to_name="Nordlys svar",
        reply_to="svar@nordlys.example", **FALLBACK,
    )  # fmt: skip
    await desk.content(mailing, html=HTML, subject="Hi from [[sender.name]]")
    listed = {line["person_id"]: line for line in (await desk.get(f"mailings/{mailing}/recipients"))["items"]}
    path = f"mailings/{mailing}/preview"
    previews = {listed[who]["email"]: await desk.get(path, recipient_id=listed[who]["id"]) for who in (kari, per)}
    assert [(preview["sender"], preview["reply_to"]) for preview in previews.values()] == [
        ("Ola Selger <ola@nordlys.example>", "Siv <help@nordlys.example>"),
        ("Nordlys <post@nordlys.example>", "Nordlys svar <svar@nordlys.example>"),
    ]
    composer = Composer(settings=desk.context.settings, tokens=TOKENS)
    async with desk.database.begin() as session:
        row = await read_mailing(session, mailing_id=mailing)
        tested, *_ = await render_test(session, mailing=row, composer=composer, recipient_id=listed[kari]["id"])
    test = email.message_from_bytes(bytes(tested), policy=email.policy.default)
    assert (test["From"], test["Subject"]) == ("Ola Selger <ola@nordlys.example>", "[Test] Hi from Ola Selger")
    await desk.send(mailing)
    messages = await sent(desk, mailing)
    assert messages.keys() == previews.keys()
    for address, preview in previews.items():
        message = messages[address]
        assert (message["From"], message["Reply-To"], message["Subject"]) == (
            preview["sender"], preview["reply_to"], preview["subject"],
        )  # fmt: skip
    page = await desk.client.get(f"/v/{TOKENS.make(Purpose.VIEW, listed[kari]['id'])}")
    assert "<p>Ola Selger, ola@nordlys.example." in page.text

    await desk.client.patch(
        f"/v1/persons/{kari}", json={"our_contact": {"name": "Eva", "email": "eva@nordlys.example"}}
    )
    again = (await sent(desk, mailing))[listed[kari]["email"]]
    assert again["From"] == "Eva <eva@nordlys.example>"
    assert again["Message-ID"] == messages[listed[kari]["email"]]["Message-ID"]


async def test_a_company_and_a_stranger_have_no_contact(desk):
    """D13, D22: the fallback, and the sender gets the replies where no address stands in."""
    stated = {"legal_basis": "consent", "source": "fair, stand 4", "given_on": "2026-09-01"}
    mailing = await desk.mailing(from_rule="support_contact", reply_to_rule="our_contact", **FALLBACK)
    await desk.post(
        f"mailings/{mailing}/sources", {"kind": "addresses", "addresses": ["g@example.com"], "consent": stated}
    )
    await desk.content(mailing)
    preview = await desk.get(f"mailings/{mailing}/preview")
    assert (preview["sender"], preview["reply_to"]) == ("Nordlys <post@nordlys.example>", None)


async def test_the_report_and_readiness_tell_for_how_many_the_fallback_stands_in(desk):
    """D14, D26."""
    persons = [await desk.person(our_contact=OLA), await desk.person(), await desk.person()]
    mailing = await desk.mailing(
        selection_id=await desk.selection(*persons),
        from_rule="our_contact",
        reply_to_rule="support_contact",
        **FALLBACK,
    )
    await desk.content(mailing, html=HTML)
    report = await desk.get(f"mailings/{mailing}/empty-tags")
    assert {tag["tag"]: (tag["empty"], tag["with_default"], len(tag["examples"])) for tag in report["tags"]} == {
        "sender.email": (0, 2, 2), "sender.name": (0, 2, 2),
    }  # fmt: skip
    [setup, *_] = (await desk.get(f"mailings/{mailing}/readiness"))["steps"]
    told = {remark["code"]: remark["detail"] for remark in setup["remarks"] if remark["code"].endswith("falls_back")}
    assert told == {
        "sender_falls_back": "2 of 3 ready recipients have no our_contact with an address in an approved sending "
        "domain: they get it from post@nordlys.example.",
        "reply_to_falls_back": "3 of 3 ready recipients have no support_contact with an address in an approved sending "
        "domain: they reply to the sender.",
    }


async def test_mailings_from_before_there_were_rules_keep_who_gets_the_replies(fresh_database):
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", fresh_database)
    before = ScriptDirectory.from_config(config).get_revision("sender_rules").down_revision
    await asyncio.to_thread(command.downgrade, config, before)
    connection = await asyncpg.connect(fresh_database)
    for reply_to in (None, "", "r@x.example"):
        columns = "name, subject, html, from_name, from_email, reply_to"
        await connection.execute(f"INSERT INTO mailing ({columns}) VALUES ('M', '', '', '', '', $1)", reply_to)
    await asyncio.to_thread(command.upgrade, config, "head")
    found = await connection.fetch("SELECT from_rule, reply_to_rule, reply_to_name, reply_to FROM mailing ORDER BY id")
    await connection.close()
    none = ("always", "use_from", "", None)
    assert [tuple(row) for row in found] == [none, none, ("always", "always", "", "r@x.example")]
