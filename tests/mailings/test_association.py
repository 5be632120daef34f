"""A mailing is associated with a selection, a project or both, and they are sources of it (D4, D8, D19)."""

import pytest
from sqlalchemy import text

from app.platform.outbox import Job
from tests.mailings.desk import Desk


@pytest.fixture
def desk(client, database, settings):
    return Desk(client, database, settings)


async def test_an_associated_selection_adds_its_persons_as_a_source(desk):
    """D19."""
    kari, ola = await desk.person(), await desk.person()
    selection = await desk.selection(kari, ola, name="Customers in Oslo")
    mailing = await desk.mailing(selection_id=selection)
    [source] = await desk.sources(mailing)
    assert (source["kind"], source["selection_id"], source["associated"]) == ("selection", selection, True)
    assert source["label"] == "Customers in Oslo"
    assert await desk.listed(mailing) == {kari, ola}


@pytest.mark.parametrize(
    ("selection", "project", "brings", "kinds"),
    [
        (False, False, set(), []),
        (True, False, {"selected", "both"}, ["selection"]),
        (False, True, {"involved", "both"}, ["project"]),
        (True, True, {"selected", "both"}, ["selection"]),
    ],
)
@pytest.mark.parametrize("changed", [False, True], ids=["created so", "changed to it"])
async def test_of_a_selection_and_a_project_only_the_selections_persons_are_added(
    desk, selection, project, brings, kinds, changed
):
    """D19, row by row: the project lists the mailing among its activities either way."""
    persons = {name: await desk.person() for name in ("selected", "involved", "both", "neither")}
    selected = await desk.selection(persons["selected"], persons["both"])
    involved = await desk.project(persons["involved"], persons["both"])
    setup = {"selection_id": selected if selection else None, "project_id": involved if project else None}
    if changed:
        mailing = await desk.mailing(
            selection_id=None if selection else selected, project_id=None if project else involved
        )
        await desk.change(mailing, **setup)
    else:
        mailing = await desk.mailing(**setup)
    assert await desk.listed(mailing) == {persons[name] for name in brings}
    sources = await desk.sources(mailing)
    assert [source["kind"] for source in sources] == kinds
    assert all(source["associated"] and source["label"] in ("Customers", "Office move") for source in sources)
    assert await desk.activities(involved) == ([mailing] if project else [])


async def test_one_association_after_the_other_goes_and_the_list_is_what_is_left(desk):
    """D19: the project's persons come when the selection no longer stands before them."""
    kari, ola = await desk.person(), await desk.person()
    selection, project = await desk.selection(kari), await desk.project(ola)
    mailing = await desk.mailing(selection_id=selection, project_id=project)
    assert await desk.listed(mailing) == {kari}
    await desk.change(mailing, selection_id=None)
    assert await desk.listed(mailing) == {ola}
    await desk.change(mailing, project_id=None)
    assert await desk.listed(mailing) == set()
    await desk.change(mailing, project_id=project)
    assert await desk.listed(mailing) == {ola}
    await desk.change(mailing, selection_id=selection)
    assert await desk.listed(mailing) == {kari}


async def test_the_project_takes_over_when_the_selection_is_deleted(client, desk):
    """D19."""
    kari, ola = await desk.person(), await desk.person()
    selection, project = await desk.selection(kari), await desk.project(ola)
    mailing = await desk.mailing(selection_id=selection, project_id=project)
    await client.delete(f"/v1/selections/{selection}")
    assert await desk.run_jobs(mailing) == 1
    assert await desk.listed(mailing) == {ola}
    assert [source["kind"] for source in await desk.sources(mailing)] == ["project"]
    await client.delete(f"/v1/projects/{project}")
    assert await desk.run_jobs(mailing) == 1
    assert await desk.listed(mailing) == set()
    assert await desk.sources(mailing) == []


async def test_deleting_the_project_beside_a_selection_changes_nothing_on_the_list(client, desk):
    kari, ola = await desk.person(), await desk.person()
    selection, project = await desk.selection(kari), await desk.project(ola)
    mailing = await desk.mailing(selection_id=selection, project_id=project)
    await client.delete(f"/v1/projects/{project}")
    assert (await client.get(f"/v1/mailings/{mailing}")).json()["project_id"] is None
    assert await desk.run_jobs(mailing) == 0
    assert await desk.listed(mailing) == {kari}


async def test_a_company_that_is_deleted_leaves_the_drafts_that_have_companies(client, desk):
    company = (await desk.post("companies", {"name": "Nordlys Bygg AS"}))["id"]
    kari = await desk.person(company_id=company)
    with_companies = await desk.mailing(include_companies=True)
    await desk.post(f"mailings/{with_companies}/sources", {"kind": "company", "company_id": company})
    by_company = await desk.mailing()
    await desk.post(f"mailings/{by_company}/sources", {"kind": "company", "company_id": company})
    untouched = await desk.mailing(selection_id=await desk.selection(kari))
    await client.delete(f"/v1/companies/{company}")
    assert [await desk.run_jobs(draft) for draft in (with_companies, by_company, untouched)] == [1, 1, 0]
    assert [await desk.listed(draft) for draft in (with_companies, by_company, untouched)] == [set(), set(), {kari}]


async def test_a_mailing_that_is_sent_before_its_list_followed_goes_to_nobody_who_is_gone(client, desk):
    """D22: although the list is not to be updated when sending."""
    kari, ola, per = [await desk.person() for _ in range(3)]
    selection, other = await desk.selection(kari, ola), await desk.selection(per)
    mailing = await desk.mailing(
        selection_id=selection, from_email="a@example.com", from_name="A", update_list_when_sending=False
    )
    content = {"subject": "News", "html": '<p>News</p><p><a href="[[link.unsubscribe]]">Stop</a></p>'}
    assert (await client.put(f"/v1/mailings/{mailing}/content", json=content)).status_code == 200
    await desk.post(f"mailings/{mailing}/sources", {"kind": "selection", "selection_id": other})
    await client.delete(f"/v1/persons/{kari}")
    await client.delete(f"/v1/selections/{other}")
    sent = await client.post(f"/v1/mailings/{mailing}/send")
    assert sent.status_code == 202, sent.text
    assert await desk.run_jobs(mailing, Job.MAILING_PREPARE) == 1
    assert await desk.run_jobs(mailing) == 1  # too late for it to do anything
    assert (await client.get(f"/v1/mailings/{mailing}")).json()["state"] == "sending"
    assert await desk.listed(mailing) == {ola}


async def test_a_hundred_deletions_make_one_job_for_each_draft(client, desk, database):
    persons = [await desk.person() for _ in range(3)]
    mailing = await desk.mailing(selection_id=await desk.selection(*persons))
    async with database.begin() as session:
        await session.exec(text("DELETE FROM person WHERE id = ANY(:ids)"), params={"ids": persons})
    assert await desk.run_jobs(mailing) == 1
    assert await desk.listed(mailing) == set()


async def test_what_was_sent_is_not_touched_by_deletions(client, desk, database):
    """D25, D41: the list of a mailing that was sent is what it was."""
    kari = await desk.person()
    selection = await desk.selection(kari)
    mailing = await desk.mailing(selection_id=selection)
    async with database.begin() as session:
        for change in (
            "recipient SET status = 'sent', sent_at = now() WHERE mailing_id",
            "mailing SET state = 'finished' WHERE id",
        ):
            await session.exec(text(f"UPDATE {change} = :id"), params={"id": mailing})
    await client.delete(f"/v1/persons/{kari}")
    await client.delete(f"/v1/selections/{selection}")
    assert await desk.run_jobs(mailing) == 0
    assert await desk.listed(mailing) == {kari}
    [line] = (await client.get(f"/v1/mailings/{mailing}/recipients")).json()["items"]
    why = (await client.get(f"/v1/mailings/{mailing}/recipients/{line['id']}/why")).json()
    assert "Customers" in why["explanation"]


async def test_tags_of_the_associated_project_are_filled_and_empty_where_none_is(client, desk):
    """D11: `project.*` where linked, also beside a selection; their values are for text, attributes and links alike."""
    kari = await desk.person()
    project = await desk.project(name="Office & move", number="2026-7")
    html = (
        '<p>[[project.name]] ([[project.number]]) [[project.description|default("no words")]]</p>'
        '<p><a href="https://example.com/?p=[[project.name]]">More</a> <a href="[[link.unsubscribe]]">Stop</a></p>'
    )
    for setup, subject, shown in (
        ({"project_id": project, "selection_id": await desk.selection(kari)}, "About Office & move",
         "<p>Office &amp; move (2026-7) no words</p>"),
        ({"selection_id": await desk.selection(kari)}, "About ", "<p> () no words</p>"),
    ):  # fmt: skip
        mailing = await desk.mailing(from_email="a@example.com", from_name="A", **setup)
        content = {"subject": "About [[project.name]]", "html": html}
        saved = await client.put(f"/v1/mailings/{mailing}/content", json=content)
        assert saved.status_code == 200, saved.text
        preview = await client.get(f"/v1/mailings/{mailing}/preview")
        assert preview.status_code == 200, preview.text
        assert preview.json()["subject"].strip() == subject.strip()
        assert shown in preview.json()["html"]
    targets = [link["target"] for link in (await client.get(f"/v1/mailings/{mailing - 1}/links")).json()["items"]]
    assert "https://example.com/?p=Office%20%26%20move" in targets


async def test_another_association_replaces_the_source_and_the_list_follows(desk):
    """D19."""
    kari, ola, per = [await desk.person() for _ in range(3)]
    first, second = await desk.selection(kari, ola), await desk.selection(ola, per)
    mailing = await desk.mailing()
    assert await desk.sources(mailing) == []
    assert (await desk.change(mailing, selection_id=first))["selection_id"] == first
    assert await desk.listed(mailing) == {kari, ola}
    [before] = await desk.sources(mailing)
    await desk.change(mailing, selection_id=first, name="Same again")
    assert await desk.sources(mailing) == [before]
    await desk.change(mailing, selection_id=second)
    assert await desk.listed(mailing) == {ola, per}
    await desk.change(mailing, selection_id=None)
    assert await desk.sources(mailing) == []
    assert await desk.listed(mailing) == set()


async def test_other_sources_stay_when_the_association_goes(desk):
    kari, ola = await desk.person(), await desk.person()
    selection = await desk.selection(kari)
    mailing = await desk.mailing(selection_id=selection)
    await desk.post(f"mailings/{mailing}/sources", {"kind": "person", "person_id": ola})
    await desk.post(f"mailings/{mailing}/sources", {"kind": "selection", "selection_id": selection})
    await desk.change(mailing, selection_id=None)
    assert await desk.listed(mailing) == {kari, ola}


async def test_the_associated_source_is_the_setups_to_remove(client, desk):
    """D19: the setup would say one thing and the sources another."""
    selection = await desk.selection(await desk.person())
    mailing = await desk.mailing(selection_id=selection)
    [source] = await desk.sources(mailing)
    refused = await client.delete(f"/v1/mailings/{mailing}/sources/{source['id']}")
    assert refused.status_code == 409
    assert "selection_id" in refused.json()["detail"]
    assert len(await desk.sources(mailing)) == 1


@pytest.mark.parametrize("field", ["selection_id", "project_id", "folder_id"])
async def test_an_association_with_what_does_not_exist_is_refused(client, desk, field):
    """D4."""
    mailing = await desk.mailing()
    for wrong in (987654321, 2**63 - 1, 0, -1, 10**30, "x", 1.5, True, []):
        for answer in (
            await client.post("/v1/mailings", json={"name": "N", field: wrong}),
            await client.patch(f"/v1/mailings/{mailing}", json={field: wrong}),
        ):
            assert answer.status_code == 422, (wrong, answer.text)
            assert answer.json()["errors"][0]["pointer"] == f"#/{field}"
    assert await desk.sources(mailing) == []


async def test_every_wrong_reference_is_named_at_once(client):
    wrong = {
        "selection_id": 987654321,
        "project_id": 987654321,
        "folder_id": 987654321,
        "subscription_type_id": 9876543,
    }
    answer = await client.post("/v1/mailings", json={"name": "N", **wrong})
    assert {error["pointer"] for error in answer.json()["errors"]} == {f"#/{name}" for name in wrong}


async def test_a_copy_has_the_association_and_what_it_brings_but_no_other_source(desk):
    """D8."""
    kari, ola = await desk.person(), await desk.person()
    selection = await desk.selection(kari)
    mailing = await desk.mailing(selection_id=selection)
    await desk.post(f"mailings/{mailing}/sources", {"kind": "person", "person_id": ola})
    copy = await desk.post(f"mailings/{mailing}/copy", {})
    assert copy["selection_id"] == selection
    [source] = await desk.sources(copy["id"])
    assert (source["selection_id"], source["associated"]) == (selection, True)
    assert await desk.listed(copy["id"]) == {kari}


async def test_a_draft_whose_selection_is_deleted_is_associated_with_nothing_and_its_list_follows(client, desk):
    """D17, D19: nobody stays on a list whom nothing brings."""
    kari, ola = await desk.person(), await desk.person()
    selection = await desk.selection(kari)
    mailing = await desk.mailing(selection_id=selection)
    await desk.post(f"mailings/{mailing}/sources", {"kind": "person", "person_id": ola})
    assert (await client.delete(f"/v1/selections/{selection}")).status_code == 204
    assert (await client.get(f"/v1/mailings/{mailing}")).json()["selection_id"] is None
    assert await desk.is_behind(mailing)
    assert await desk.run_jobs(mailing) == 1
    assert await desk.listed(mailing) == {ola}
    assert [source["kind"] for source in await desk.sources(mailing)] == ["person"]
    assert not await desk.is_behind(mailing)


async def test_a_draft_that_lost_a_source_falls_behind_and_keeps_what_it_was(client, desk):
    kari = await desk.person()
    selection = await desk.selection(kari)
    mailing = await desk.mailing()
    await desk.post(f"mailings/{mailing}/sources", {"kind": "selection", "selection_id": selection})
    await client.delete(f"/v1/selections/{selection}")
    assert await desk.run_jobs(mailing) == 1
    assert await desk.listed(mailing) == set()
    assert [source["kind"] for source in await desk.sources(mailing)] == ["selection"]


async def test_a_person_who_is_deleted_leaves_the_drafts(client, desk):
    kari, ola = await desk.person(), await desk.person()
    drafts = [await desk.mailing(selection_id=await desk.selection(kari, ola)), await desk.mailing()]
    await desk.post(f"mailings/{drafts[1]}/sources", {"kind": "person", "person_id": kari})
    untouched = await desk.mailing(selection_id=await desk.selection(ola))
    await client.delete(f"/v1/persons/{kari}")
    assert [await desk.is_behind(draft) for draft in (*drafts, untouched)] == [True, True, False]
    assert [await desk.run_jobs(draft) for draft in (*drafts, untouched)] == [1, 1, 0]
    assert [await desk.listed(draft) for draft in drafts] == [{ola}, set()]


async def test_only_a_draft_can_be_associated_but_any_mailing_can_be_filed(client, database, desk):
    selection = await desk.selection()
    mailing = await desk.mailing()
    folder = (await desk.post("folders", {"kind": "mailing", "name": "Sent"}))["id"]
    async with database.begin() as session:
        await session.exec(text("UPDATE mailing SET state = 'finished' WHERE id = :id"), params={"id": mailing})
    await desk.change(mailing, status=409, selection_id=selection)
    await desk.change(mailing, status=409, folder_id=folder, name="Other")
    assert (await desk.change(mailing, folder_id=folder))["folder_id"] == folder


async def test_mailings_are_found_by_folder_state_and_association(client, desk):
    selection = await desk.selection()
    folder = (await desk.post("folders", {"kind": "mailing", "name": "2026"}))["id"]
    both = await desk.mailing(selection_id=selection, folder_id=folder)
    filed = await desk.mailing(folder_id=folder)
    associated = await desk.mailing(selection_id=selection)

    async def found(query):
        return [item["id"] for item in (await client.get(f"/v1/mailings?{query}")).json()["items"]]

    assert await found(f"folder_id={folder}") == [both, filed]
    assert await found(f"selection_id={selection}&state=draft") == [both, associated]
    assert await found(f"selection_id={selection}&folder_id={folder}") == [both]
    assert await found(f"selection_id={selection}&state=finished") == []
    assert (await client.get("/v1/mailings?folder_id=0")).status_code == 422
