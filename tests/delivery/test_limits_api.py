"""Limits of destinations over the API, and who asked for less (D31)."""

from app.delivery import pace_queries


async def test_a_destinations_limit_is_set_changed_and_lifted(client):
    url = "/v1/destination-limits/Blåbær.no"
    answer = await client.put(url, json={"max_per_second": 5})
    assert answer.status_code == 200, answer.text
    assert answer.json()["domain"] == "xn--blbr-roah.no"
    await client.put(url, json={"max_per_hour": 100})
    await client.put("/v1/destination-limits/*", json={"max_per_second": 0.5})
    listed = (await client.get("/v1/destination-limits")).json()["items"]
    assert [(item["domain"], item["max_per_second"], item["max_per_hour"]) for item in listed] == [
        ("*", 0.5, None), ("xn--blbr-roah.no", None, 100),
    ]  # fmt: skip
    first = (await client.get("/v1/destination-limits?limit=1")).json()
    second = (await client.get(f"/v1/destination-limits?limit=1&cursor={first['next_cursor']}")).json()
    assert [page["items"][0]["domain"] for page in (first, second)] == ["*", "xn--blbr-roah.no"]
    assert (await client.delete(url)).status_code == 204
    assert (await client.get(url)).json()["type"].endswith("destination-limit-not-found")
    assert (await client.delete(url)).status_code == 404


async def test_a_limit_that_limits_nothing_and_a_destination_that_is_none_are_refused(client):
    nothing = await client.put("/v1/destination-limits/a.no", json={})
    assert nothing.status_code == 422
    assert "delete the limit" in nothing.text
    assert (await client.put("/v1/destination-limits/a@b.no", json={"max_per_hour": 1})).status_code == 422
    assert (await client.put("/v1/destination-limits/a.no", json={"max_per_second": 0})).status_code == 422


async def test_slowed_destinations_are_shown_with_the_servers_words_and_can_be_released(client, session):
    await pace_queries.slow_down(session, domain="a.no", measured=100.0, code=421, words="4.7.0 too many")
    [item] = (await client.get("/v1/slowed-destinations")).json()["items"]
    assert (item["domain"], item["max_per_second"], item["times"]) == ("a.no", 50, 1)
    assert (item["code"], item["words"]) == (421, "4.7.0 too many")
    assert item["free_at"] > item["asked_at"]
    assert (await client.delete("/v1/slowed-destinations/a.no")).status_code == 204
    assert (await client.get("/v1/slowed-destinations")).json()["items"] == []
    assert (await client.delete("/v1/slowed-destinations/a.no")).status_code == 404


async def test_a_mailing_takes_a_limit_of_its_own(client):
    kind = (await client.post("/v1/subscription-types", json={"name": "News"})).json()
    body = {"name": "News", "subscription_type_id": kind["id"], "max_per_hour": 500}
    mailing = (await client.post("/v1/mailings", json=body)).json()
    assert mailing["max_per_hour"] == 500
    changed = await client.patch(f"/v1/mailings/{mailing['id']}", json={"max_per_hour": None})
    assert changed.json()["max_per_hour"] is None
