"""`POST /v1/imports`: what is taken in, and what is refused at once."""

import io
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import text

from app.platform.outbox import Job
from app.platform.tokens import TokenKey
from tests.conftest import SECRET
from workers.context import Context, run_job
from workers.jobs.imports import run_import

CSV = b"Navn;E-post\r\nKari Nordmann;kari@nordlys.example\r\n"
DATA = Path(__file__).parent.parent / "data"


async def upload(client, content: bytes, *, name: str = "persons.csv", **fields):
    return await client.post("/v1/imports", files={"file": (name, content)}, data=fields)


def zipped(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "content")
    return packed.getvalue()


async def test_an_upload_is_accepted_with_an_operation_to_watch(client, session):
    answer = await upload(client, CSV, name="C:/exports/persons.csv", existing="fill_empty")
    assert answer.status_code == 202, answer.text
    assert answer.json()["file_name"] == "persons.csv"
    assert answer.json()["existing"] == "fill_empty"
    operation = (await client.get(answer.headers["location"])).json()
    assert (operation["kind"], operation["state"]) == ("import", "waiting")
    jobs = (await session.exec(text("SELECT job, args FROM outbox"))).all()
    assert [tuple(job) for job in jobs] == [("import.run", {"import_id": answer.json()["id"]})]
    assert (await client.get(f"/v1/imports/{answer.json()['id']}")).json()["rows"] == 0
    assert len((await client.get("/v1/imports")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n...", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image"),
        (zipped("readme.txt"), "a zip archive without a workbook"),
        (zipped("word/document.xml"), "a Word document"),
        (b"PK\x03\x04 cut short", "damaged"),
        (b"<!DOCTYPE html><table>", "a web page"),
        (bytes(range(256)) * 400, "binary data"),
        (b"x" * 2_000_000, "does not end within"),
    ],
)
async def test_what_is_no_sheet_is_refused_and_nothing_is_kept(client, session, content, words):
    answer = await upload(client, content)
    assert answer.status_code == 415
    assert words in answer.json()["detail"]
    for table in ("stored_file", "import", "operation", "outbox"):
        assert (await session.exec(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf\r\n", b"   \n\n"])
async def test_an_empty_file_is_refused(client, content):
    answer = await upload(client, content)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:budstikke:problem:empty-file"


@pytest.mark.parametrize("told", [True, False])
async def test_a_file_over_the_limit_is_refused_whether_its_size_is_told_or_not(client, app, settings, told):
    app.state.settings = settings.model_copy(update={"upload_limit_mb": 1})
    line = b"kari@nordlys.example\r\n"
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'

    async def pieces():
        yield form
        for _ in range(100):
            yield line * 1000
        yield b"\r\n--x--\r\n"

    content = form + line * 100_000 + b"\r\n--x--\r\n" if told else pieces()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await client.post("/v1/imports", content=content, headers=headers)
    assert answer.status_code == 413
    assert "limit of 1 MiB" in answer.json()["detail"]


async def test_a_file_just_over_the_limit_is_refused_too(client, app, settings, session):
    app.state.settings = settings.model_copy(update={"upload_limit_mb": 1})
    answer = await upload(client, b"kari@nordlys.example\r\n" * 48_000)
    assert answer.status_code == 413
    assert (await session.exec(text("SELECT count(*) FROM stored_piece"))).scalar_one() == 0


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"mapping": "{"}, "#/mapping"),
        ({"mapping": "[1]"}, "#/mapping"),
        ({"mapping": '{"1": 2}'}, "#/mapping/1"),
        ({"existing": "perhaps"}, "#/existing"),
        ({"selection_id": "987654321"}, "#/selection_id"),
        ({"consent_basis": "consent"}, "#"),
        ({"consent_basis": "consent", "consent_source": "fair", "consent_date": "2999-01-01"}, "#"),
        ({"colour": "red"}, "#/colour"),
    ],
)
async def test_a_field_that_is_wrong_is_named(client, fields, pointer):
    answer = await upload(client, CSV, **fields)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_what_is_no_form_with_a_file_is_refused(client):
    assert (await client.post("/v1/imports", json={})).status_code == 422
    headers = {"Content-Type": "multipart/form-data"}
    assert (await client.post("/v1/imports", content=b"x", headers=headers)).status_code == 422
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await client.post("/v1/imports", content=b"no form", headers=headers)).status_code == 422
    assert (await client.post("/v1/imports", files={"other": ("a.csv", CSV)})).status_code == 422


async def test_a_workbook_is_taken_in(client):
    answer = await upload(client, (DATA / "contacts-5000.xlsx").read_bytes(), name="contacts.xlsx")
    assert answer.status_code == 202


async def test_a_repeated_upload_with_its_idempotency_key_starts_one_import(client):
    for _ in range(2):
        headers = {"Idempotency-Key": "4711"}
        answer = await client.post("/v1/imports", files={"file": ("a.csv", CSV)}, headers=headers)
        assert answer.status_code == 202
    assert len((await client.get("/v1/imports")).json()["items"]) == 1


async def test_the_contract_shows_the_form(client):
    route = (await client.get("/openapi.json")).json()["paths"]["/v1/imports"]["post"]
    properties = route["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert properties["file"]["format"] == "binary"
    assert properties["existing"]["enum"] == ["overwrite", "fill_empty", "skip"]
    assert "$ref" not in str(properties)
    assert {"202", "413", "415", "422"} <= set(route["responses"])


async def test_an_import_that_is_not_there_is_not_found(client):
    assert (await client.get("/v1/imports/987654321")).status_code == 404
    assert (await client.get("/v1/imports/987654321/problems")).status_code == 404


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (300 << 20))
    return packed.getvalue()


async def test_a_zip_bomb_is_refused_at_once_and_nothing_is_kept(client, session):
    content = bomb()
    assert len(content) < 1 << 20
    answer = await upload(client, content, name="persons.xlsx")
    assert answer.status_code in (413, 415)
    assert "unpack" in answer.json()["detail"] or "large" in answer.json()["detail"]
    assert (await session.exec(text("SELECT count(*) FROM stored_file"))).scalar_one() == 0


async def test_an_import_that_does_not_wait_is_neither_changed_nor_started(client):
    started = (await upload(client, CSV)).json()
    assert (started["state"], started["dry_run"]) == ("running", False)
    changed = await client.patch(f"/v1/imports/{started['id']}", json={"existing": "skip"})
    assert (changed.status_code, changed.json()["type"]) == (409, "urn:budstikke:problem:import-not-waiting")
    assert (await client.post(f"/v1/imports/{started['id']}/start", json={})).status_code == 409
    assert (await client.get(f"/v1/imports/{started['id']}/problems/file")).status_code == 409
    assert (await client.get("/v1/imports/987654321/problems/file")).status_code == 404
    assert (await client.post("/v1/imports/987654321/start", json={})).status_code == 404
    assert (await client.patch("/v1/imports/987654321", json={})).status_code == 404


async def test_an_import_can_be_told_how_the_file_is_written(client):
    answer = await upload(client, CSV, start="false", delimiter=";", heading_row="1", encoding="utf-8")
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert (shown["state"], shown["delimiter"], shown["heading_row"]) == ("analysing", ";", 1)
    assert (await client.get(answer.headers["location"])).json()["kind"] == "import-analysis"
    answer = await upload(client, CSV, delimiter="x")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/delimiter"]


async def test_a_file_is_not_imported_into_a_dynamic_selection(client):
    """Its criteria say who is in it; nobody would see members that a file added."""
    criteria = {"person": "city", "operator": "eq", "value": "Oslo"}
    dynamic = (await client.post("/v1/selections", json={"name": "Oslo", "criteria": criteria})).json()
    answer = await upload(client, CSV, selection_id=str(dynamic["id"]))
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/selection_id"]


async def test_an_import_has_one_target(client):
    mailing = (await client.post("/v1/mailings", json={"name": "Høstnytt"})).json()
    selection = (await client.post("/v1/selections", json={"name": "Fair"})).json()
    answer = await upload(client, CSV, mailing_id=str(mailing["id"]), selection_id=str(selection["id"]))
    assert answer.status_code == 422
    assert "D13" in answer.json()["errors"][0]["detail"]
    answer = await upload(client, CSV, mailing_id="987654321")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/mailing_id"]
    answer = await upload(client, CSV, mailing_id=str(mailing["id"]))
    assert (answer.status_code, answer.json()["mailing_id"]) == (202, mailing["id"])


async def test_bad_rows_are_downloaded_as_a_file_of_the_inputs_shape(client, database, settings):
    uploaded = await upload(client, CSV + b"Ola;no address\r\n", name="Møte.csv")
    context = Context(settings, database, TokenKey.from_secret(SECRET))
    async with database.begin() as session:
        [(job_id,)] = (await session.exec(text("SELECT id FROM outbox WHERE job = 'import.run'"))).all()
    await run_job(context, {Job.IMPORT_RUN: run_import}, job_id)
    answer = await client.get(f"/v1/imports/{uploaded.json()['id']}/problems/file")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "M%C3%B8te-problems.csv" in answer.headers["content-disposition"]
    heading, row = answer.content.splitlines()
    assert heading == b"Navn;E-post;budstikke_problem"
    assert row.startswith(b"Ola;no address;# budstikke: email: ")
    shown = (await client.get(f"/v1/imports/{uploaded.json()['id']}")).json()
    assert (shown["state"], shown["file_kept"]) == ("ended", True)
