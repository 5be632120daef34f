"""Who clicked a link of the library: figures, clicks, clickers, and what becomes of them (D40)."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.fixture
async def link_id(database):
    """A library link in two mailings, at two places of the first: persons 1 and 2, a stranger, a machine clicked."""
    async with database.begin() as session:
        filling = """
            INSERT INTO library_link (id, name, target, target_key) VALUES (901, 'Offer', 'https://x.example', 'x');
            INSERT INTO mailing (id, name, from_name, from_email, subject, html)
                VALUES (901, 'First', '', '', '', ''), (902, 'Second', '', '', '', '');
            INSERT INTO link (id, mailing_id, position, target, library_link_id)
                VALUES (901, 901, 0, 'https://x.example', 901), (902, 901, 1, 'https://x.example', 901),
                       (903, 902, 0, 'https://x.example', 901), (904, 902, 1, 'https://y.example', NULL);
            INSERT INTO person (id, name) VALUES (901, 'Kari'), (902, 'Ola');
            INSERT INTO recipient (id, mailing_id, person_id, name, email, status)
                VALUES (901, 901, 901, 'Kari', 'k@x.example', 'sent'), (902, 901, 902, 'Ola', 'o@x.example', 'sent'),
                       (903, 901, NULL, 'Stranger', 's@x.example', 'sent'), (904, 902, 901, 'Kari', 'k@x', 'sent')
        """
        for statement in filling.split(";"):
            await session.exec(text(statement))
        clicks = [
            (901, 901, 901, "human"), (902, 901, 901, "human"), (901, 901, 902, "machine"), (902, 901, 903, "human"),
            (903, 902, 904, "human"), (904, 902, 904, "human"),
        ]  # fmt: skip
        for number, (link, mailing, recipient, verdict) in enumerate(clicks):
            await session.exec(
                text(
                    "INSERT INTO engagement (kind, mailing_id, recipient_id, link_id, occurred_at, user_agent, verdict,"
                    " reasons, rule_version) VALUES ('click', :mailing, :recipient, :link, :at, 'Firefox', :verdict,"
                    " '{}', 2)"
                ),
                params={
                    "link": link, "mailing": mailing, "recipient": recipient, "verdict": verdict,
                    "at": START + timedelta(minutes=number),
                },
            )  # fmt: skip
    return 901


async def test_a_library_link_shows_clicks_and_unique_clickers_over_all_mailings(client, link_id):
    """D40: who clicked at two places of one mailing is one."""
    shown = (await client.get(f"/v1/links/{link_id}/statistics")).json()
    assert shown == {
        "link_id": 901, "clicks": {"human": 4, "machine": 1}, "clickers": {"human": 3, "machine": 1},
    }  # fmt: skip
    links = (await client.get("/v1/mailings/901/links")).json()["items"]
    assert [(link["clicks"], link["clickers"]) for link in links] == [
        ({"human": 1, "machine": 1}, {"human": 1, "machine": 1}),
        ({"human": 2, "machine": 0}, {"human": 2, "machine": 0}),
    ]


@pytest.mark.parametrize(
    ("asked", "recipients"),
    [
        ({}, [904, 903, 902, 901, 901]),
        ({"mailing_id": 901, "verdict": "human"}, [903, 901, 901]),
        (
            {"since": (START + timedelta(minutes=1)).isoformat(), "until": (START + timedelta(minutes=3)).isoformat()},
            [902, 901],
        ),
    ],
)
async def test_clicks_are_listed_latest_first_page_by_page(client, link_id, asked, recipients):
    """D40: who clicked when, and from which mailing."""
    found, cursor = [], None
    while True:
        params = {"limit": 2, **asked, **({"cursor": cursor} if cursor else {})}
        page = (await client.get(f"/v1/links/{link_id}/clicks", params=params)).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [click["recipient_id"] for click in found] == recipients
    assert {click["mailing_name"] for click in found} <= {"First", "Second"}


async def test_clickers_are_humans_unless_machines_are_asked_for(client, link_id):
    """D40, D45"""
    humans = (await client.get(f"/v1/links/{link_id}/clickers")).json()["items"]
    assert [(one["recipient_id"], one["person_id"], one["mailing_id"]) for one in humans] == [
        (901, 901, 901), (903, None, 901), (904, 901, 902),
    ]  # fmt: skip
    everybody = await client.get(f"/v1/links/{link_id}/clickers", params={"machines": True, "mailing_id": 901})
    assert [one["recipient_id"] for one in everybody.json()["items"]] == [901, 902, 903]


@pytest.mark.parametrize("what", ["selection", "project"])
async def test_clickers_are_added_to_a_new_and_to_an_existing_one(client, link_id, what):
    """D40, D66"""
    path = f"/v1/links/{link_id}/clickers/add-to-{what}"
    new = (await client.post(path, json={"name": "Clicked"})).json()
    assert new == {"id": new["id"], "added": 1, "already": 0, "companies_added": 0, "skipped": 1}
    again = (await client.post(path, json={f"{what}_id": new["id"], "machines": True})).json()
    assert (again["added"], again["already"]) == (1, 1)
    assert (await client.post(path, json={})).status_code == 422
    assert (await client.post(path.replace("901", "999999"), json={"name": "X"})).status_code == 404


async def test_a_deleted_link_leaves_the_figures_of_its_places_in_mailings(client, database, link_id):
    """D36, D40"""
    assert (await client.delete(f"/v1/links/{link_id}")).status_code == 204
    async with database.begin() as session:
        left = await session.exec(
            text("SELECT (SELECT count(*) FROM library_link_clicker), (SELECT count(*) FROM library_link_tally)")
        )
        assert tuple(left.one()) == (0, 0)
    links = (await client.get("/v1/mailings/901/links")).json()["items"]
    assert [link["clickers"]["human"] for link in links] == [1, 2]


async def test_what_there_is_not_is_told(client):
    for path in ("/v1/links/999999/clicks", "/v1/links/999999/clickers", "/v1/links/999999/statistics"):
        assert (await client.get(path)).json()["type"].endswith("library-link-not-found")
    assert (await client.post("/v1/links/999999/reset", json={})).status_code == 404
    assert (await client.post("/v1/mailings/999999/reset-engagement", json={})).status_code == 404
    answer = await client.post("/v1/verdicts/recompute", json={"dry_run": True})
    assert (answer.status_code, answer.json()["kind"]) == (202, "recompute-verdicts")
