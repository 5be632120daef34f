"""Mailings and templates refer to links of the library (D36); what was sent never changes (D41)."""

import re

import pytest

from app.platform.tokens import Purpose, TokenKey
from tests.conftest import SECRET
from tests.mailings.desk import Desk

STOP = '<p><a href="[[link.unsubscribe]]">Stop</a></p></html>'


@pytest.fixture
def desk(client, database, settings):
    return Desk(client, database, settings)


async def link(desk, target="https://a.example/p?a=1&b=2#c", **fields):
    return (await desk.post("links", {"name": "Prices", "target": target, **fields}))["id"]


async def ready(desk, **setup):
    person = await desk.person()
    setup = {"from_name": "N", "from_email": "n@nordlys.example", "track_all_links": False, **setup}
    return await desk.mailing(selection_id=await desk.selection(person), **setup)


def page(*hrefs):
    return '<html lang="en">' + "".join(f'<a href="{href}">x</a>' for href in hrefs) + STOP


async def links_of(desk, mailing):
    shown = (await desk.get(f"mailings/{mailing}/links"))["items"]
    return [(each["target"], each["library_link_id"], each["honeypot"]) for each in shown]


async def follow(client, desk, mailing, position):
    """Where a link of a mailing leads; as in a test message, nothing is counted."""
    shown = (await desk.get(f"mailings/{mailing}/links"))["items"][position]
    token = TokenKey.from_secret(SECRET).make(Purpose.CLICK, 0, shown["id"])
    return (await client.get(f"/c/{token}", follow_redirects=False)).headers["location"]


async def test_an_edit_changes_drafts_and_not_what_was_frozen(client, desk):  # D41
    prices = await link(desk)
    sent, draft = await ready(desk), await ready(desk)
    for mailing in (sent, draft):
        await desk.content(mailing, html=page(f"[[link.library.{prices}]]", "https://other.example/"))
    await desk.send(sent)
    assert (await client.patch(f"/v1/links/{prices}", json={"target": "https://new.example/"})).status_code == 200
    assert await links_of(desk, sent) == [("https://a.example/p?a=1&b=2#c", prices, False)]
    assert await follow(client, desk, sent, 0) == "https://a.example/p?a=1&b=2#c"
    shown = await desk.get(f"mailings/{draft}/preview")
    assert len(re.findall(r"https://news\.example\.com/c/", shown["html"])) == 1
    assert "https://other.example/" in shown["html"]
    assert await links_of(desk, draft) == [("https://new.example/", prices, False)]


async def test_deleting_a_link_never_breaks_what_was_sent(client, desk):  # D41
    prices = await link(desk)
    sent = await ready(desk)
    await desk.content(sent, html=page(f"[[link.library.{prices}]]"))
    await desk.send(sent)
    [use] = (await desk.get(f"links/{prices}/uses"))["items"]
    assert (use["kind"], use["id"], use["state"], use["sent"]) == ("mailing", sent, "sending", True)
    assert (await client.delete(f"/v1/links/{prices}")).status_code == 204
    assert (await client.get(f"/v1/links/{prices}/uses")).status_code == 404
    assert await links_of(desk, sent) == [("https://a.example/p?a=1&b=2#c", None, False)]
    assert await follow(client, desk, sent, 0) == "https://a.example/p?a=1&b=2#c"
    assert "/c/" in (await desk.get(f"mailings/{sent}/preview"))["html"]
    assert (await desk.get(f"mailings/{sent}/empty-tags"))["tags"] == []
    assert len(await links_of(desk, sent)) == 1
    copy = (await desk.post(f"mailings/{sent}/copy", None))["id"]
    assert ("unknown_library_link", "problem") in await desk.remarks(copy, "content")
    refused = await client.get(f"/v1/mailings/{copy}/preview")
    assert f"there is no link {prices} in the library" in refused.json()["errors"][0]["detail"]


async def test_a_link_that_drafts_and_templates_refer_to_is_not_deleted_and_they_are_named(client, desk):
    prices = await link(desk)
    await link(desk)
    mailing = await desk.mailing(name="Autumn")
    await desk.content(mailing, text=f"[[ link.library.{prices} ]] [[link.unsubscribe]]")
    template = await desk.post("templates", {"name": "Plain", "html": page(f"[[link.library.{prices}]]")})
    refused = await client.delete(f"/v1/links/{prices}")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:budstikke:problem:library-link-in-use")
    assert f"mailing {mailing} (Autumn), template {template['id']} (Plain)" in refused.json()["detail"]
    uses = await desk.get(f"links/{prices}/uses", limit=1)
    rest = await desk.get(f"links/{prices}/uses", limit=1, cursor=uses["next_cursor"])
    assert [(use["kind"], use["id"], use["state"]) for use in uses["items"] + rest["items"]] == [
        ("mailing", mailing, "draft"), ("template", template["id"], None),
    ]  # fmt: skip
    assert (await client.delete(f"/v1/mailings/{mailing}")).status_code == 204
    assert (await client.delete(f"/v1/templates/{template['id']}")).status_code == 204
    assert (await client.delete(f"/v1/links/{prices}")).status_code == 204


async def test_a_link_whose_id_begins_with_anothers_is_not_taken_for_it(client, desk):
    first = await link(desk)
    await desk.sql("INSERT INTO library_link (id, name, target, target_key) OVERRIDING SYSTEM VALUE "
                   "VALUES (:id, 'N', 'https://n.example/', 'x')", id=first * 10)  # fmt: skip
    await desk.content(await desk.mailing(), html=page(f"[[link.library.{first * 10}]]"))
    assert (await client.delete(f"/v1/links/{first}")).status_code == 204
    assert (await client.delete(f"/v1/links/{first * 10}")).status_code == 409


@pytest.mark.parametrize("body", ["html", "mjml"])
async def test_content_with_an_unknown_link_or_a_script_is_refused_with_line_and_column(client, desk, body):
    mailing = await desk.mailing()
    element = "a" if body == "html" else "mj-button"
    written = (
        f'<p>\n<{element} href="[[link.library.4711]]">x</{element}>\n<{element} href="java&#10;script:x">y</{element}>'
    )
    if body == "mjml":
        written = f"<mjml><mj-body><mj-section><mj-column>{written[3:]}</mj-column></mj-section></mj-body></mjml>"
    answer = await client.put(f"/v1/mailings/{mailing}/content", json={"subject": "S", body: written})
    assert answer.status_code == 422
    errors = {error["detail"].partition(":")[2].strip(): error for error in answer.json()["errors"]}
    assert {error["pointer"] for error in errors.values()} == {f"#/{body}"}
    assert "there is no link 4711 in the library; it was deleted, or never was" in errors
    assert any(
        error["detail"].startswith("Line 3, column 1: javascript: links are refused") for error in errors.values()
    )


async def test_a_draft_that_got_its_link_into_the_library_later_knows_it(desk):
    mailing = await ready(desk, track_all_links=True)
    await desk.content(mailing, html=page("https://a.example/"))
    await desk.get(f"mailings/{mailing}/preview")
    prices = await link(desk, target="https://a.example/")
    await desk.get(f"mailings/{mailing}/preview")
    assert await links_of(desk, mailing) == [("https://a.example/", prices, False)]
    assert (await desk.sql("SELECT count(*) AS links FROM link WHERE mailing_id = :id", id=mailing)).one().links == 2
    await desk.send(mailing)
    assert await links_of(desk, mailing) == [("https://a.example/", prices, False)]


async def test_a_honeypot_is_asked_for_in_the_setup_and_named_among_the_links(client, desk):  # D45
    mailing = await ready(desk, track_all_links=True, honeypot_link=True)
    await desk.content(mailing, html=page("https://a.example/news"))
    await desk.send(mailing)
    assert await links_of(desk, mailing) == [
        ("https://a.example/news", None, False),
        ("https://a.example/", None, True),
    ]
    assert await follow(client, desk, mailing, 1) == "https://a.example/"


async def test_the_form_of_a_reference_is_among_the_merge_tags(desk):
    tags = {tag["tag"]: tag["description"] for tag in await desk.get("merge-tags")}
    assert "library" in tags["link.library.<id>"]
