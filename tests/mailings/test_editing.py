"""Only drafts are changed, a copy has the whole setup, and of two who send, one does (D8, D28)."""

import asyncio

import httpx2
import pytest
import sqlalchemy as sa

from app.mailings.models import Mailing, MailingState
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database, run
from tests.conftest import settings_for
from tests.mailings.desk import Desk

# What does not change what a mailing is: it moves it, tries it, makes another one of it, or takes back what came of it.
VERBS = {
    "send", "stop", "start", "cancel", "test", "copy", "schedule", "unschedule", "resend", "export", "reset-engagement",
}  # fmt: skip


@pytest.fixture
def desk(client, database, settings):
    return Desk(client, database, settings)


FILE = {"files": {"file": ("terms.txt", b"Terms", "text/plain")}}


def editing_routes(app, **ids):
    """Every route that writes to a mailing and is none of its verbs, with an input that would do for a draft."""
    bodies = {
        ("PUT", "/content"): {"json": {"subject": "Other"}},
        ("POST", "/sources"): {"json": {"kind": "addresses", "addresses": ["kari@example.com"]}},
        ("POST", "/attachments"): FILE,
    }
    for path, methods in app.openapi()["paths"].items():
        rest = path.removeprefix("/v1/mailings/{mailing_id}")
        if rest != path and rest.rpartition("/")[2] not in VERBS:
            for method in {method.upper() for method in methods} - {"GET"}:
                body = bodies.get((method, rest), {"json": {"name": "Other"}} if method == "PATCH" else {})
                yield method, rest.format(**ids), body


async def test_whatever_the_route_only_a_draft_is_changed(app, desk):
    """D28: 409, with both states named; a folder is where it is kept, and may change."""
    mailing = await desk.mailing()
    attachment = await desk.client.post(f"/v1/mailings/{mailing}/attachments", **FILE)
    source = await desk.post(f"mailings/{mailing}/sources", {"kind": "person", "person_id": await desk.person()})
    routes = list(editing_routes(app, attachment_id=attachment.json()["id"], source_id=source["id"]))
    assert len(routes) >= 9
    for state in set(MailingState) - {MailingState.DRAFT}:
        await desk.sql("UPDATE mailing SET state = :state", state=state.value)
        for method, rest, body in routes:
            if state is MailingState.SCHEDULED and rest.startswith(("/sources", "/update-list")):
                continue  # sources may come and go until sending starts (D17)
            answer = await desk.client.request(method, f"/v1/mailings/{mailing}{rest}", **body)
            problem = answer.json()
            assert (answer.status_code, problem["type"]) == (409, "urn:budstikke:problem:not-editable"), (rest, problem)
            assert state.value in problem["detail"]
            assert "draft" in problem["detail"]
        assert (await desk.change(mailing, folder_id=None))["state"] == state.value


async def test_a_copy_has_the_whole_setup_and_begins_as_a_draft(desk):
    """D8: all but what happened to the mailing; consent is overridden by who copies (D21)."""
    setup = {
        "type": "email", "name": "Autumn", "from_rule": "our_contact", "from_name": "Nordlys",
        "from_email": "post@nordlys.example", "reply_to_rule": "support_contact", "reply_to_name": "Svar",
        "reply_to": "svar@nordlys.example", "language": "nb", "track_opens": False, "track_all_links": False,
        "utm_source": "news", "utm_campaign": "autumn", "override_consent": True, "override_reason": "a contract",
        "one_per_address": True, "include_companies": True, "prefer_company": True, "update_list_when_sending": True,
        "unconfirmed_policy": "resend",
        "folder_id": (await desk.post("folders", {"kind": "mailing", "name": "News"}))["id"],
        "selection_id": await desk.selection(await desk.person()),
        "project_id": await desk.project(),
        "subscription_type_id": (await desk.post("subscription-types", {"name": "Newsletter"}))["id"],
        "template_id": (await desk.post("templates", {"name": "T", "subject": "S", "html": "<p>H</p>"}))["id"],
    }  # fmt: skip
    original = await desk.post("mailings", setup)
    async with desk.database.begin() as session:
        of_happenings = (
            "state = 'finished', state_reason = 'over', version = 9, started_at = now(), finished_at = now(), "
            "override_by = 'somebody else'"
        )
        await run(session, sa.text(f"UPDATE mailing SET {of_happenings} WHERE id = :id"), id=original["id"])
    copy = await desk.post(f"mailings/{original['id']}/copy", {})
    assert copy["id"] != original["id"]
    assert {name: copy[name] for name in setup} == setup | {"name": "Autumn (copy)"}
    assert (copy["state"], copy["state_reason"], copy["version"]) == ("draft", None, 1)
    assert (copy["started_at"], copy["finished_at"], copy["override_by"]) == (None, None, "tests")
    contents = [await desk.get(f"mailings/{each['id']}/content") for each in (original, copy)]
    assert contents[0] == contents[1]
    assert await desk.listed(copy["id"]) == await desk.listed(original["id"]) != set()
    changed = {column.name for column in Mailing.__table__.columns if column.default or column.server_default}
    assert changed - set(copy) <= {"html"}  # each option with a default is shown, and so compared


async def test_of_two_who_send_at_once_exactly_one_does(fresh_database, tmp_path):
    """D28, as two processes would do it: each with connections of its own."""
    settings = settings_for(fresh_database, data_dir=tmp_path)
    databases = [Database.connect(settings, name=f"api {number}") for number in range(2)]
    async with databases[0].begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    headers = {"Authorization": f"Bearer {key}"}
    transports = [httpx2.ASGITransport(create_app(settings, database=database)) for database in databases]
    clients = [httpx2.AsyncClient(transport=each, base_url="http://test", headers=headers) for each in transports]
    desk = Desk(clients[0], databases[0], settings)
    sender = {"from_name": "Nordlys", "from_email": "post@nordlys.example"}
    selection = await desk.selection(await desk.person())
    try:
        for _ in range(5):
            mailing = await desk.mailing(selection_id=selection, **sender)
            await desk.content(mailing)
            path = f"/v1/mailings/{mailing}/send"
            answers = await asyncio.gather(*(client.post(path) for client in clients))
            assert sorted(answer.status_code for answer in answers) == [202, 409]
            [refused] = [answer.json() for answer in answers if answer.status_code == 409]
            assert refused["type"] == "urn:budstikke:problem:illegal-transition"
            assert "is preparing" in refused["detail"]
            assert "draft" in refused["detail"]
        async with databases[0].begin() as session:
            jobs = await run(session, sa.text("SELECT count(*) FROM outbox WHERE job = 'mailing.prepare'"))
            assert jobs.scalar_one() == 5
    finally:
        for client, database in zip(clients, databases, strict=True):
            await client.aclose()
            await database.close()
