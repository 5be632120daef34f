"""An address of a page is its reader's key: every answer there is private, and no log has it (issue 5.8)."""

import pytest
from structlog.testing import capture_logs

from app.pages import routes
from app.platform.tokens import Purpose

WRONG = "A" * 32


@pytest.fixture
def paths(app) -> dict[str, str]:
    """The pages of a test message."""
    kinds = {"u": Purpose.UNSUBSCRIBE, "p": Purpose.PREFERENCES, "v": Purpose.VIEW}
    return {letter: f"/{letter}/{app.state.tokens.make(purpose, 0)}" for letter, purpose in kinds.items()}


async def test_every_public_answer_is_private_and_leads_nowhere_with_a_token(client, paths):
    asked = [
        (method, path) for path in paths.values() for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
    ]
    asked += [("GET", path + more) for path in paths.values() for more in ("/", "/x", "x", "//news.example.org")]
    asked += [(method, f"/{letter}/{WRONG}") for letter in "uvpco" for method in ("GET", "POST", "PUT")]
    asked += [("GET", f"/{letter}/") for letter in "uvpco"] + [("GET", "/brand/x.png"), ("PUT", "/brand/x.png")]
    for method, path in asked:
        answer = await client.request(method, path)
        where = f"{method} {path}: {answer.status_code}"
        assert answer.headers["referrer-policy"] == "no-referrer", where
        assert answer.headers["x-content-type-options"] == "nosniff", where
        assert answer.headers["x-robots-tag"] == "noindex, nofollow", where
        assert answer.headers["cache-control"] == "no-store", where
        assert "location" not in answer.headers, where
        if answer.headers.get("content-type") != "image/gif":
            assert "default-src 'none'" in answer.headers["content-security-policy"], where
    assert (await client.post(paths["u"], content="List-Unsubscribe=One-Click")).headers["referrer-policy"]


async def test_a_slash_behind_a_token_is_put_right_as_in_clicks(client, paths):
    for path in paths.values():
        assert (await client.get(path + "/")).status_code == 200


async def test_a_page_that_fails_is_in_the_log_without_its_token_or_its_reader(client, paths, monkeypatch, capsys):
    async def fail(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(routes, "_show_preferences", fail)
    with capture_logs() as lines:
        answer = await client.get(paths["p"], headers={"User-Agent": "Reader/7", "X-Forwarded-For": "198.51.100.7"})
    assert answer.status_code == 500
    assert answer.headers["referrer-policy"] == "no-referrer"
    told = capsys.readouterr()
    (line,) = [line for line in lines if line["event"] == "request.failed"]
    assert line["route"] == "/p/{token:path}"
    assert line["request_id"] == answer.json()["request_id"]
    secrets = (paths["p"].rpartition("/")[2], "Reader/7", "198.51.100.7")
    assert [secret for secret in secrets if secret in f"{lines}{told.out}{told.err}"] == []
