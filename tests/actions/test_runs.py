"""What actions do, for whom, and that they do it once (D38, D39)."""

import asyncio
import json

import pytest

from app.actions.kinds import KINDS
from app.actions.run_queries import _DUE
from app.consent import models as consent

OLA = {"name": "Ola Selger", "email": "ola@supplier.example"}
EVA = {"name": "Eva Innesalg", "email": "eva@supplier.example"}


async def everything(world, link, script_url="https://crm.example.com/x"):
    """Give a link an action of every kind that is done in the background; return what they refer to."""
    boats = (await world.post("interests", {"name": "Boats"}))["id"]
    cats = (await world.post("interests", {"name": "Cats"}))["id"]
    callers = (await world.post("selections", {"name": "Callers"}))["id"]
    project = (await world.post("projects", {"name": "Autumn", "external_id": "P-1"}))["id"]
    field = {"owner": "person", "name": "wants", "label": "Wants", "kind": "choice", "choices": ["boat", "cat"]}
    await world.post("extra-fields", field)
    script = (await world.post("scripts", {"name": "S", "url": script_url}))["id"]
    await world.action(link, kind="set_field", field="wants", value="boat")
    await world.action(link, kind="interests", add=[boats], remove=[cats])
    await world.action(link, kind="membership", change="add", selection_id=callers)
    await world.action(link, kind="membership", change="add", project_id=project)
    await world.action(
        link, kind="follow_up", description="Call", our_contact=True, owner=EVA, project_id=project, duration_minutes=15
    )
    await world.action(
        link, kind="request", title="Demo", priority="high", category="Sales", assignment="owner", our_contact=True,
        owner=EVA,
    )  # fmt: skip
    await world.action(link, kind="script", script_id=script)
    return {"boats": boats, "cats": cats, "callers": callers, "project": project}


async def members(world, path):
    return [item["person_id"] for item in (await world.call("GET", f"{path}/members"))["items"]]


async def test_a_click_does_every_kind_once(world, receiver):
    """D38, D39: once per recipient and link, in the background, with its outcome visible."""
    link, tracked = await world.link(places=2)
    made = await everything(world, link, receiver.url)
    kari = await world.person(external_id="C-7", our_contact=OLA, interests=["Cats"])
    line = await world.recipient(kari)
    for place in (tracked, tracked + 1, tracked):
        await world.click(line, place)
    await world.work()
    person = await world.call("GET", f"persons/{kari}")
    assert (person["extra"], person["interests"]) == ({"wants": "boat"}, ["Boats"])
    assert await members(world, f"selections/{made['callers']}") == [kari]
    assert await members(world, f"projects/{made['project']}") == [kari]
    [task] = (await world.call("GET", f"follow-ups?person_id={kari}"))["items"]
    assert (task["type"], task["description"], task["duration_minutes"]) == ("task", "Call", 15)
    assert (task["owner"], task["person_external_id"], task["project_external_id"]) == (OLA, "C-7", "P-1")
    assert (task["link_id"], task["mailing_id"], task["recipient_id"]) == (link, 1, line)
    [request] = (await world.call("GET", "requests?mailing_id=1"))["items"]
    assert (request["title"], request["priority"], request["category"]) == ("Demo", "high", "Sales")
    assert (request["assignment"], request["owner"]) == ("owner", OLA)
    [(headers, told, _)] = receiver.came
    assert (told["type"], told["data"]["hits"], told["data"]["url"]) == (
        "link.clicked", 3, "https://example.com/offer"
    )  # fmt: skip
    assert told["data"]["customer"] == {
        "recipient_id": line, "person_id": kari, "company_id": None, "external_id": "C-7", "name": "Kari",
        "email": "kari@example.com",
    }  # fmt: skip
    assert (told["data"]["link"], told["data"]["mailing"]) == ({"id": link, "name": "Offer"}, {"id": 1, "name": "Høst"})
    runs = await world.runs(link_id=link)
    assert {run["state"] for run in runs} == {"done"}
    assert headers["webhook-id"] == f"run_{runs[-1]['id']}"
    export = await world.call("GET", f"persons/{kari}/export")
    assert [len(export[section]) for section in ("action_runs", "follow_ups", "requests")] == [7, 1, 1]
    await world.click(line, tracked)
    await world.work()
    assert await world.runs(recipient_id=line) == runs
    assert len(receiver.came) == 1
    other = await world.recipient(await world.person("Ola"), name="Ola", email="ola@example.com")
    await world.click(other, tracked)
    await world.work()
    [_, second] = (await world.call("GET", "follow-ups"))["items"]
    assert second["owner"] == EVA  # Ola has no contact
    assert len(await world.runs(link_id=link, state="done")) == 14


async def test_no_kind_changes_consent_or_subscription(world, receiver):
    """D39: consent or subscription is never changed by a GET, whatever actions a link has."""
    link, tracked = await world.link()
    await everything(world, link, receiver.url)
    page = {"language": "en", "title": "Thanks", "text": "We call you."}
    await world.action(link, kind="response", pages=[page])
    kari = await world.person(interests=["Cats"])
    kind = (await world.post("subscription-types", {"name": "News"}))["id"]
    given = {"purpose": "e_marketing", "action": "given", "source": "web shop"}
    await world.post(f"persons/{kari}/consents", given)
    answers = {"items": [{"subscription_type_id": kind, "subscribed": True}]}
    await world.call("PUT", f"persons/{kari}/subscriptions", json=answers)
    tables = [row.name for row in await world.sql(
        "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )]  # fmt: skip

    async def sums():
        lines = "md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) AS lines"
        return {table: (await world.sql(f'SELECT {lines} FROM "{table}" AS t'))[0].lines for table in tables}

    before = await sums()
    await world.click(await world.recipient(kari), tracked)
    await world.work()
    after = await sums()
    assert {run["state"] for run in await world.runs()} == {"done"}
    changed = {name for name in tables if before[name] != after[name]}
    assert changed >= {
        "action_run", "engagement", "follow_up", "person", "person_interest", "project_member", "request",
        "selection_member",
    }, "or the test would prove nothing"  # fmt: skip
    kept_by_consent = {table.__tablename__ for table in vars(consent).values() if hasattr(table, "__table__")}
    assert {"consent", "consent_state", "subscription", "blocked_address"} <= kept_by_consent <= set(tables)
    assert not changed & kept_by_consent
    assert len({action["kind"] for action in [item["action"] for item in (
        await world.call("GET", f"links/{link}/actions"))["items"]]}) == len(KINDS)  # fmt: skip


async def test_a_machines_click_runs_nothing_and_a_burst_drops_what_is_held(fresh_database, world_factory):
    """D39, D45: held until the verdict is clear, and dropped with its reason."""
    async with world_factory(fresh_database, action_hold_seconds=60) as world:
        link, tracked = await world.link(places=6)
        await world.action(link, kind="request", title="Call back")
        line = await world.recipient(await world.person())
        await world.click(line, tracked, method="HEAD")
        await world.click(line, tracked, user_agent="Barracuda Sentinel")
        assert await world.runs() == []
        await world.sql("UPDATE engagement SET occurred_at = occurred_at - interval '2 hours'")  # long before a reader
        await world.click(line, tracked)
        await world.work()
        assert await world.states() == [("request", "held")]
        for place in range(1, 6):
            await world.click(line, tracked + place)  # five links within seconds: no reader does that
        await world.sql("UPDATE action_run SET due_at = due_at - interval '59 seconds'")
        await world.work()
        assert await world.states() == [("request", "held")]
        await world.sql("UPDATE action_run SET due_at = due_at - interval '2 seconds'")
        await world.work()
        [run] = await world.runs()
        assert run["state"] == "dropped"
        assert "burst" in run["detail"]
        assert (await world.call("GET", "requests"))["items"] == []
        await world.sql("UPDATE engagement SET occurred_at = occurred_at - interval '1 hour'")
        await world.click(line, tracked)  # the reader comes after the gateway
        assert await world.states() == [("request", "held")]
        await world.hurry()
        await world.work()
        assert await world.states() == [("request", "done")]
        assert len((await world.call("GET", "requests"))["items"]) == 1


async def test_a_click_taken_back_by_a_reset_runs_nothing(world):
    """D44: a reset removes clicks."""
    link, tracked = await world.link()
    await world.action(link, kind="request", title="Call back")
    await world.click(await world.recipient(await world.person()), tracked)
    await world.sql("DELETE FROM engagement")
    await world.work()
    [run] = await world.runs(state="dropped")
    assert "reset" in run["detail"]


async def test_whom_it_cannot_be_done_for_is_skipped_with_the_reason(world):
    """D39: no person, an erased one, a deleted one; a company's own line gets what companies can have."""
    link, tracked = await world.link()
    selection = (await world.post("selections", {"name": "Callers"}))["id"]
    await world.action(link, kind="membership", change="add", selection_id=selection)
    await world.action(link, kind="follow_up", description="Call", owner=EVA, our_contact=True)
    gone = (await world.action(link, kind="request", title="x"))["id"]
    erased, deleted = await world.person("Erased"), await world.person("Deleted")
    company = (await world.post("companies", {"name": "Nordlys"}))["id"]
    lines = {
        "stranger": await world.recipient(email="who@example.com"),
        "erased": await world.recipient(erased, email="erased@example.com"),
        "deleted": await world.recipient(deleted, email="deleted@example.com"),
        "company": await world.recipient(company=company, email="post@example.com"),
    }
    for line in lines.values():
        await world.click(line, tracked)
    await world.call("POST", f"persons/{erased}/erase", status=202, json={"reason": "consent_withdrawn"})
    await world.call("DELETE", f"persons/{deleted}", status=204)
    await world.call("DELETE", f"links/{link}/actions/{gone}", status=204)
    await world.work()
    seen = {name: await world.runs(recipient_id=line) for name, line in lines.items()}
    assert {name: [run["state"] for run in runs] for name, runs in seen.items()} == {
        "stranger": ["skipped"] * 3, "erased": ["skipped"] * 3, "deleted": ["skipped"] * 3,
        "company": ["done", "done", "skipped"],
    }  # fmt: skip
    words = {name: runs[0]["detail"] for name, runs in seen.items()}
    assert ["matched nobody" in words["stranger"], "erased" in words["erased"], "deleted" in words["deleted"]] == [
        True
    ] * 3
    assert {runs[2]["detail"] for runs in seen.values()} == {"The action was deleted before its time came."}
    [task] = (await world.call("GET", "follow-ups"))["items"]
    assert (task["person_id"], task["company_id"], task["owner"]) == (None, company, EVA)


async def test_what_does_not_fit_any_more_fails_in_words_and_is_repeated_by_hand(world):
    """D39: the outcome is visible and repeatable, one or all that failed."""
    link, tracked = await world.link()
    boats = (await world.post("interests", {"name": "Boats"}))["id"]
    await world.action(link, kind="interests", add=[boats])
    await world.action(link, kind="request", title="Call back")
    lines = [await world.recipient(await world.person(name), email=f"{name}@example.com") for name in ("Kari", "Ola")]
    await world.call("DELETE", f"interests/{boats}", status=204)
    for line in lines:
        await world.click(line, tracked)
    await world.work()
    failed = await world.runs(state="failed")
    assert [run["kind"] for run in failed] == ["interests", "interests"]
    assert failed[0]["detail"] == f"There is no interest {boats} any more; change the action."
    cats = (await world.post("interests", {"name": "Cats"}))["id"]
    action = failed[0]["action_id"]
    await world.call("PUT", f"links/{link}/actions/{action}", json={"kind": "interests", "add": [cats]})
    repeated = await world.call("POST", f"action-runs/{failed[0]['id']}/repeat", status=202)
    assert (repeated["state"], repeated["attempts"]) == ("waiting", 0)
    refused = await world.call("POST", f"action-runs/{failed[0]['id']}/repeat", status=409)
    assert refused["type"] == "urn:budstikke:problem:action-run-not-repeatable"
    assert await world.call("POST", "action-runs/repeat-failed", json={"link_id": link}) == {"repeated": 1}
    await world.work()
    assert {run["state"] for run in await world.runs(mailing_id=1)} == {"done"}
    assert [person["interests"] for person in (await world.call("GET", "persons"))["items"]] == [["Cats"], ["Cats"]]
    await world.call("POST", f"action-runs/{failed[0]['id']}/repeat", status=409)
    none = {"held": 0, "waiting": 0, "failed": 0, "skipped": 0, "dropped": 0}
    told = (await world.call("GET", f"links/{link}/actions/outcomes"))["items"]
    assert told == [
        {"action_id": action, "kind": "interests", "done": 2, **none},
        {"action_id": action + 1, "kind": "request", "done": 2, **none},
    ]
    await world.call("GET", "links/999999/actions/outcomes", status=404)
    await world.call("GET", "action-runs/999999", status=404)
    await world.call("GET", "action-runs?state=nonsense", status=422)


async def test_a_fault_of_ones_own_is_tried_again_and_holds_up_nobody(world):
    link, tracked = await world.link()
    await world.action(link, kind="request", title="Call back")
    await world.action(link, kind="follow_up", description="Call", owner=EVA)
    await world.sql("CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1 / 0; END'")
    await world.sql("CREATE TRIGGER broken BEFORE INSERT ON request FOR EACH ROW EXECUTE FUNCTION broken()")
    await world.click(await world.recipient(await world.person()), tracked)
    await world.work()
    assert await world.states() == [("request", "waiting"), ("follow_up", "done")]
    await world.work()  # it is not due yet
    assert (await world.runs())[0]["attempts"] == 1
    await world.sql("DROP TRIGGER broken ON request")
    await world.hurry()
    await world.work()
    assert await world.states() == [("request", "done"), ("follow_up", "done")]


async def test_follow_ups_and_requests_are_collected_once_and_told_of(world):
    """D38: the CRM lists what it has not taken over, takes it over under its own reference, and hears of it."""
    link, tracked = await world.link()
    await world.action(link, kind="follow_up", description="Call", owner=EVA)
    await world.action(link, kind="request", title="Call back", assignment="unassigned")
    kari = await world.person(external_id="C-1")
    await world.click(await world.recipient(kari), tracked)
    await world.work()
    for path, kind in (("follow-ups", "follow_up"), ("requests", "request")):
        [made] = (await world.call("GET", f"{path}?taken_over=false&link_id={link}"))["items"]
        events = (await world.call("GET", f"events?type={kind}.created"))["items"]
        assert [event["data"] for event in events] == [{
            f"{kind}_id": made["id"], "person_id": kari, "external_id": "C-1", "company_id": None, "mailing_id": 1,
            "link_id": link,
        }]  # fmt: skip
        verb = f"{path}/{made['id']}/take-over"
        taken = await world.call("POST", verb, json={"external_id": "T-9"})
        assert taken["external_id"] == "T-9"
        assert await world.call("POST", verb, json={"external_id": "T-9"}) == taken
        refused = await world.call("POST", verb, status=409, json={"external_id": "T-10"})
        assert "T-9" in refused["detail"]
        assert (await world.call("GET", f"{path}?taken_over=false"))["items"] == []
        assert (await world.call("GET", f"{path}?taken_over=true"))["items"] == [taken]
        assert await world.call("GET", f"{path}/{made['id']}") == taken
        await world.call("POST", f"{path}/999999/take-over", status=404, json={"external_id": "T-9"})
    assert len((await world.call("GET", f"follow-ups?owner={EVA['email']}"))["items"]) == 1
    assert (await world.call("GET", "follow-ups?owner=ola@supplier.example"))["items"] == []


async def test_a_script_that_fails_is_called_again_under_the_same_id_and_given_up_when_it_is_gone(world, receiver):
    """D38: at least once, with a stable id."""
    link, tracked = await world.link()
    script = (await world.post("scripts", {"name": "S", "url": receiver.url}))["id"]
    await world.action(link, kind="script", script_id=script)
    line = await world.recipient(name="A stranger", email="who@example.com")
    await world.click(line, tracked)
    receiver.answers = [(500, b""), (302, b""), (204, b"")]
    for attempts in (1, 2, 3):
        await world.work()
        [run] = await world.runs()
        assert run["attempts"] == attempts
        await world.hurry()
    assert (run["state"], run["detail"]) == ("done", "Answered 204.")
    assert {headers["webhook-id"] for headers, *_ in receiver.came} == {f"run_{run['id']}"}
    assert receiver.came[0][1]["data"]["customer"]["person_id"] is None
    receiver.answers = [(410, b"")]
    await world.call("POST", f"action-runs/{run['id']}/repeat", status=202)
    await world.work()
    assert (await world.runs())[0]["state"] == "failed"


async def test_a_dead_workers_call_is_made_by_another(world, receiver):
    link, tracked = await world.link()
    script = (await world.post("scripts", {"name": "S", "url": receiver.url}))["id"]
    await world.action(link, kind="script", script_id=script)
    await world.click(await world.recipient(await world.person()), tracked)
    await world.sql("UPDATE action_run SET state = 'waiting', attempts = 1, due_at = now() + interval '60 seconds'")
    await world.work()
    assert not receiver.came  # somebody has it
    await world.hurry()
    await world.work()
    assert receiver.kinds() == ["link.clicked"]


async def test_clicks_of_two_processes_at_once_make_one_run(world, world_factory):
    """D39: exactly once per action."""
    link, tracked = await world.link()
    await world.action(link, kind="request", title="Call back")
    lines = [
        await world.recipient(await world.person(f"P{number}"), email=f"p{number}@example.com") for number in range(8)
    ]
    async with world_factory(world.settings.database_url) as other:
        await asyncio.gather(*[each.visit(line, tracked) for each in (world, other) for line in lines])
        world.clicks += other.clicks - 1
        await world.click(lines[0], tracked)
    await world.work()
    await world.work()
    assert sorted(run["recipient_id"] for run in await world.runs(state="done")) == lines
    assert len((await world.call("GET", "requests"))["items"]) == len(lines)


@pytest.mark.parametrize("state", ["held", "waiting"])
async def test_what_is_due_is_found_by_its_index(world, state):
    """The watch asks every two seconds in every worker."""
    await world.sql(
        "INSERT INTO action_run (action_id, kind, library_link_id, recipient_id, mailing_id, link_id, clicked_at,"
        " state) SELECT 1, 'request', 1, g, 1, 1, now(), CASE WHEN g % 1000 = 0 THEN :state ELSE 'done' END"
        " FROM generate_series(1, 20000) AS g", state=state,
    )  # fmt: skip
    await world.sql("ANALYZE action_run")
    plan = await world.sql(f"EXPLAIN (FORMAT JSON) {_DUE.text}", hold=60.0)
    assert "action_run_due_idx" in json.dumps(plan[0][0])
