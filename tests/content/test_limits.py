"""What is too large is refused without being read."""


async def test_a_hundred_megabytes_of_nonsense_are_refused(client):
    async def nonsense():
        for _ in range(100):
            yield b"[" * (1 << 20)

    answer = await client.post("/v1/templates", content=nonsense(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:budstikke:problem:too-large"


async def test_deeply_nested_json_is_a_problem_and_no_crash(client):
    nested = b"[" * 200_000
    answer = await client.post("/v1/templates", content=nested, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
