"""Extra fields for tests: declared through the API, as a CRM's integrator does."""


async def declare(client, name: str, kind: str = "text", *, owner: str = "person", **more) -> dict:
    fields = {"owner": owner, "name": name, "kind": kind, **more}
    answer = await client.post("/v1/extra-fields", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()
