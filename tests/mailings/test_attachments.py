"""Files that are sent along with a mailing, and images that its HTML shows by `cid:` (D4, D16)."""

import pytest
from sqlalchemy import text

from app.content.attached import encoded_size
from app.mailings.composing import Composer, compile_mailing
from app.mailings.queries import find_mailing
from app.platform.db import run
from tests.content.messages import parsed, recipient, whole
from tests.recipients.desk import Desk

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 20
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
PAGE = '<html lang="en">\n<p><a href="[[link.unsubscribe]]">No</a></p>\n<img alt="" src="cid:logo.png"></html>'


@pytest.fixture
async def desk(client, session):
    desk = await Desk(client, session).open(from_name="Nordlys", from_email="post@nordlys.example")
    await desk.client.put(f"/v1/mailings/{desk.mailing}/content", json={"subject": "News", "html": PAGE})
    return desk


async def attach(desk, name, octets, *, mailing=None, status=201, kind="application/octet-stream", **fields):
    answer = await desk.client.post(
        f"/v1/mailings/{mailing or desk.mailing}/attachments", files={"file": (name, octets, kind)}, data=fields
    )
    assert answer.status_code == status, answer.text
    return answer.json()


async def remarks(desk):
    steps = {step["step"]: step for step in (await desk.get(f"mailings/{desk.mailing}/readiness"))["steps"]}
    return {each["code"]: each for each in steps["content"]["remarks"]}


async def files(session):
    return (await run(session, text("SELECT count(*) AS files FROM stored_file"))).one().files


async def test_a_file_comes_back_as_it_was_and_lists_say_what_it_is(desk):
    added = await attach(desk, "Årets møte.pdf", PDF, kind="text/html")
    assert added["content_type"] == "application/pdf"
    assert (added["size"], added["inline"], added["content_id"]) == (len(PDF), False, None)
    assert await desk.get(f"mailings/{desk.mailing}/attachments") == [added]
    assert await desk.get(f"mailings/{desk.mailing}/attachments/{added['id']}") == added
    answer = await desk.client.get(f"/v1/mailings/{desk.mailing}/attachments/{added['id']}/file")
    assert answer.content == PDF
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%85rets%20m%C3%B8te.pdf"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_message_carries_them_under_their_names(desk, session, settings, app):
    await attach(desk, "logo.png", PNG, inline="true")
    await attach(desk, "Årets møte.pdf", PDF)
    mailing = await find_mailing(session, mailing_id=desk.mailing)
    compiled, _ = await compile_mailing(session, mailing=mailing, composer=Composer(settings, app.state.tokens))
    stored = [item.key for item in compiled.tail if not isinstance(item, str)]
    mail = parsed(whole(compiled, recipient(compiled), dict(zip(stored, (PNG, PDF), strict=True))))
    assert [(part.get_filename(), part.get_content()) for part in mail.iter_attachments()] == [("Årets møte.pdf", PDF)]
    image = next(part for part in mail.walk() if part.get_content_type() == "image/png")
    assert (image["Content-ID"], image.get_content(), image.get_content_disposition()) == ("<logo.png>", PNG, "inline")
    await desk.source(kind="person", person_id=await desk.person("kari@example.com"))
    shown = await desk.get(f"mailings/{desk.mailing}/preview")
    assert shown["size"] > encoded_size(len(PDF)) + encoded_size(len(PNG))
    assert "cid:logo.png" in shown["html"]


async def test_an_image_that_is_shown_but_not_there_is_a_problem_with_its_place(desk):
    found = (await remarks(desk))["missing_inline_image"]
    assert (found["severity"], found["line"]) == ("problem", 3)
    assert found["column"] == PAGE.splitlines()[2].index("cid:") + 1
    assert "cid:logo.png" in found["detail"]
    added = await attach(desk, "logo.png", PNG, inline="true")
    assert not {"missing_inline_image", "unused_inline_image"} & (await remarks(desk)).keys()
    await desk.client.patch(
        f"/v1/mailings/{desk.mailing}/attachments/{added['id']}", json={"content_id": "other"}
    )  # fmt: skip
    found = await remarks(desk)
    assert found["missing_inline_image"]["severity"] == "problem"
    assert found["unused_inline_image"]["severity"] == "warning"


async def test_over_a_limit_the_problem_names_limit_and_size(desk, app):
    app.state.settings = app.state.settings.model_copy(update={"attachment_limit_mb": 1, "attachments_limit_mb": 2})
    big = await attach(desk, "a.txt", b"a" * (1 << 20) + b"b", status=413)
    assert "1 MiB (BUDSTIKKE_ATTACHMENT_LIMIT_MB), and this one has 1048577 octets" in big["detail"]
    assert big["type"].endswith("attachment-too-large")
    for name in ("a.txt", "b.txt"):
        await attach(desk, name, b"a" * 1_000_000)
    full = await attach(desk, "c.txt", b"c" * 200_000, status=413)
    assert "2 MiB together" in full["detail"]
    assert "200000 octets" in full["detail"]


async def test_a_stream_without_end_is_ended(desk, app):
    app.state.settings = app.state.settings.model_copy(update={"attachment_limit_mb": 1})
    sent = 0

    async def endless():
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        while True:
            sent += 1 << 16
            yield b"a" * (1 << 16)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    path = f"/v1/mailings/{desk.mailing}/attachments"
    answer = await desk.client.post(path, content=endless(), headers=headers)
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["detail"]
    assert sent < 2 << 20


@pytest.mark.parametrize(
    ("name", "octets", "words"),
    [
        ("invoice.pdf", b"<html>", "named like application/pdf"),
        ("photo.png", b"\xff\xd8\xff\xe0", "looks like image/jpeg"),
        ("invoice.pdf.exe", b"abc", "Programs"),
        ("harmless.txt", b"MZ\x90\x00", "Programs"),
        ("report.docx", b"%PDF-1.4", "looks like application/pdf"),
    ],
)
async def test_what_is_not_what_it_says_is_refused(desk, name, octets, words):
    assert words in (await attach(desk, name, octets, status=415))["detail"]


async def test_only_an_image_can_be_inline_and_its_id_is_its_own(desk):
    assert "PNG, JPEG, GIF and WebP" in (await attach(desk, "a.pdf", PDF, status=415, inline="true"))["detail"]
    first = await attach(desk, "Vår logo.png", PNG, content_id="logo")
    assert first["inline"]
    taken = await attach(desk, "b.png", PNG, content_id="logo", status=422)
    assert taken["errors"][0]["pointer"] == "#/content_id"
    names = [(await attach(desk, "Vår logo.png", PNG, inline="true"))["content_id"] for _ in range(2)]
    assert names == ["V-r-logo.png", "V-r-logo-2.png"]
    wrong = await attach(desk, "c.png", PNG, content_id="a b>", status=422)
    assert wrong["errors"][0]["pointer"] == "#/content_id"
    await attach(desk, "empty.txt", b"", status=422)


async def test_it_is_renamed_and_made_a_file_again(desk):
    added = await attach(desk, "logo.png", PNG, inline="true")
    path = f"/v1/mailings/{desk.mailing}/attachments/{added['id']}"
    changed = (await desk.client.patch(path, json={"name": "../Ny\u202elogo.png", "inline": False})).json()
    assert (changed["name"], changed["content_id"]) == ("Nylogo.png", None)
    assert (await desk.client.patch(path, json={"name": "logo.pdf"})).status_code == 415
    assert (await desk.client.patch(path, json={"content_id": "x", "inline": False})).status_code == 422
    assert (await desk.client.get(f"/v1/mailings/{desk.mailing}/attachments/{added['id'] + 99}")).status_code == 404


async def test_copies_share_the_octets_and_the_last_one_takes_them_away(desk, session):
    """Erasing a copy deletes no file that another mailing still sends."""
    before = await files(session)
    added = await attach(desk, "a.pdf", PDF)
    copy = (await desk.post(f"mailings/{desk.mailing}/copy"))["id"]
    (taken_along,) = await desk.get(f"mailings/{copy}/attachments")
    assert taken_along["name"] == "a.pdf"
    assert await files(session) == before + 1
    answer = await desk.client.delete(f"/v1/mailings/{desk.mailing}/attachments/{added['id']}")
    assert answer.status_code == 204
    answer = await desk.client.get(f"/v1/mailings/{copy}/attachments/{taken_along['id']}/file")
    assert answer.content == PDF
    assert (await desk.client.delete(f"/v1/mailings/{copy}")).status_code == 204
    assert await files(session) == before


async def test_only_drafts_can_change_them(desk, session):
    added = await attach(desk, "a.pdf", PDF)
    await run(session, text("UPDATE mailing SET state = 'finished' WHERE id = :id"), id=desk.mailing)
    path = f"/v1/mailings/{desk.mailing}/attachments"
    await attach(desk, "b.pdf", PDF, status=409)
    assert (await desk.client.patch(f"{path}/{added['id']}", json={"name": "c.pdf"})).status_code == 409
    assert (await desk.client.delete(f"{path}/{added['id']}")).status_code == 409
    assert (await desk.client.get(f"{path}/{added['id']}/file")).content == PDF
