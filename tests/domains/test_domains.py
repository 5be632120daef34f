"""Sending domains through the API (D6)."""

import pytest
from sqlalchemy import text

from app.domains.service import approved_domains


async def listed(client, domain="news.example.com", **fields):
    answer = await client.post("/v1/sending-domains", json={"domain": domain, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_domain_is_kept_as_dns_writes_it_and_shown_as_people_do(client):
    domain = await listed(client, "Blåbær.NO.")
    assert (domain["domain"], domain["display"]) == ("xn--blbr-roah.no", "blåbær.no")
    assert (domain["verdict"], domain["approved"]) == ("unchecked", False)
    found = (await client.get("/v1/sending-domains", params={"domain": "blåbær.no"})).json()
    assert [each["id"] for each in found["items"]] == [domain["id"]]


async def test_a_domain_is_listed_once_in_whatever_form(client):
    await listed(client, "blåbær.no")
    again = await client.post("/v1/sending-domains", json={"domain": "XN--BLBR-ROAH.no"})
    assert again.status_code == 409
    assert again.json()["type"].endswith("sending-domain-taken")


@pytest.mark.parametrize(
    "name",
    ["localhost", "a b.com", "me@example.com", "https://example.com", "-a.com", "10.0.0.1", "ex_ample.com", ".."],
)
async def test_what_is_no_domain_name_is_refused(client, name):
    answer = await client.post("/v1/sending-domains", json={"domain": name})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/domain"


async def test_a_trusted_domain_is_approved_at_once_and_the_feed_tells_when_it_is_not_any_more(client, session):
    domain = await listed(client, trusted=True)
    await listed(client, "example.org")
    assert await approved_domains(session) == {"news.example.com"}
    approved = (await client.get("/v1/sending-domains", params={"approved": True})).json()["items"]
    assert [each["domain"] for each in approved] == ["news.example.com"]

    changed = await client.patch(f"/v1/sending-domains/{domain['id']}", json={"trusted": False})
    assert changed.json()["approved"] is False
    assert await approved_domains(session) == frozenset()
    (event,) = await session.exec(text("SELECT data FROM event WHERE type = 'sending_domain.changed'"))
    assert event.data["before"] == {"verdict": "unchecked", "approved": True}
    assert (event.data["domain"], event.data["approved"]) == ("news.example.com", False)


async def test_a_deleted_domain_is_gone(client):
    domain = await listed(client)
    assert (await client.delete(f"/v1/sending-domains/{domain['id']}")).status_code == 204
    assert (await client.get(f"/v1/sending-domains/{domain['id']}")).status_code == 404
