"""`update-list`, and the list at the moment of sending (D22, D23)."""

import pytest

from app.platform.outbox import Job
from tests.mailings.test_association import Desk

CONTENT = {"subject": "News", "html": '<p>News</p><p><a href="[[link.unsubscribe]]">Stop</a></p>'}


@pytest.fixture
def desk(client, database, settings):
    return Desk(client, database, settings)


async def test_an_update_of_the_list_reports_who_came_who_went_and_who_changed(client, desk):
    """D23: update on demand, as an operation."""
    kari, ola, per = [await desk.person() for _ in range(3)]
    selection = await desk.selection(kari, ola)
    mailing = await desk.mailing(selection_id=selection)
    await client.post(f"/v1/selections/{selection}/members", json={"person_ids": [per]})
    await client.delete(f"/v1/selections/{selection}/members/{kari}")
    await client.patch(f"/v1/persons/{ola}", json={"email": "ola@new.example"})
    asked = await client.post(f"/v1/mailings/{mailing}/update-list")
    assert asked.status_code == 202, asked.text
    assert await desk.listed(mailing) == {kari, ola}
    assert await desk.run_jobs(mailing) == 1
    done = (await client.get(asked.headers["location"])).json()
    assert (done["state"], done["result"]) == ("succeeded", {"added": 1, "removed": 1, "changed": 1})
    lines = (await client.get(f"/v1/mailings/{mailing}/recipients")).json()["items"]
    assert {line["person_id"] for line in lines} == {ola, per}
    assert "ola@new.example" in {line["email"] for line in lines}


async def test_a_list_cannot_be_updated_once_it_is_frozen(client, desk):
    """D17, D23, D25: sources count until sending starts."""
    mailing = await desk.mailing(selection_id=await desk.selection(await desk.person()), from_email="a@example.com")
    assert (await client.put(f"/v1/mailings/{mailing}/content", json=CONTENT)).status_code == 200
    assert (await client.post(f"/v1/mailings/{mailing}/send")).status_code == 202
    for path, body in (("update-list", None), ("sources", {"kind": "person", "person_id": await desk.person()})):
        refused = await client.post(f"/v1/mailings/{mailing}/{path}", json=body)
        assert refused.status_code == 409, refused.text


@pytest.mark.parametrize("updates", [True, False])
async def test_the_sources_are_evaluated_again_when_sending_if_the_mailing_says_so(client, desk, updates):
    """D22: update_list_when_sending."""
    kari, late = await desk.person(), await desk.person()
    selection = await desk.selection(kari)
    mailing = await desk.mailing(selection_id=selection, from_email="a@example.com", update_list_when_sending=updates)
    assert (await client.put(f"/v1/mailings/{mailing}/content", json=CONTENT)).status_code == 200
    await client.post(f"/v1/selections/{selection}/members", json={"person_ids": [late]})
    assert (await client.post(f"/v1/mailings/{mailing}/send")).status_code == 202
    assert await desk.run_jobs(mailing, Job.MAILING_PREPARE) == 1
    assert (await client.get(f"/v1/mailings/{mailing}")).json()["state"] == "sending"
    assert await desk.listed(mailing) == ({kari, late} if updates else {kari})
