"""Files that name an erased person go (D78): uploads in whatever form they are, and exports of lists."""

import gzip
import io
import zipfile

import pytest
import xlsxwriter

from app.platform.tokens import TokenKey
from app.privacy.searching import names_any
from app.recipients.exports import write_export
from tests.conftest import SECRET
from tests.privacy.subject import EMAIL, NAME, SECOND, WORDS, execute, post, tables_with
from workers.context import Context, run_job
from workers.main import JOBS

ROWS = f"Navn;E-post\nOla;ola@example.com\n{NAME};{{address}}\n"


def workbook(*addresses):
    octets = io.BytesIO()
    with xlsxwriter.Workbook(octets, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for row, address in enumerate(("E-post", *addresses)):
            sheet.write_string(row, 0, address)
    return octets.getvalue()


def archive(*parts, **more):
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as file:
        for number, part in enumerate(parts):
            file.writestr(f"part{number}", part, **more)
    return octets.getvalue()


A = "o'neill&sons@example.com"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (f"x;{A.upper()};y".encode(), True),
        (f"x;{A};y".encode("utf-16"), True),
        (f"x;{A};y".encode("utf-16-be"), True),
        (b"x" * ((1 << 20) - 7) + A.encode(), True),  # over the edge of two pieces
        (b"\xef\xbb\xbfx;neill&sons@example.com;y", False),
        (workbook("ola@example.com", A), True),
        (workbook("ola@example.com"), False),
        (archive(b"a", A.encode()), True),
        (archive(b"a", b"b"), False),
        (archive(b"a" * 99)[:-30] + b"\0" * 8, False),  # no archive, and nothing in it
        (archive(b"\0" * (9 << 20)), True),  # more than is searched: nobody can tell
        (gzip.compress(A.encode()), False),
        (b"", False),
    ],
    ids=[  # archives hold the time, and processes that share the suite must name their tests alike
        "capitals",
        "UTF-16",
        "UTF-16 BE",
        "over an edge",
        "somebody else",
        "workbook",
        "another workbook",
        "archive",
        "another archive",
        "broken archive",
        "huge archive",
        "gzip",
        "empty",
    ],
)
def test_an_address_is_found_in_any_encoding_and_inside_a_workbook(tmp_path, monkeypatch, content, found):
    monkeypatch.setattr("app.privacy.searching.MOST", 8 << 20)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert names_any(path, [A, "other@example.com"]) is found


@pytest.fixture
def worker(database, settings):
    context = Context(settings, database, TokenKey.from_secret(SECRET))

    async def work(*, kind):
        rows = await execute(database, "SELECT id FROM outbox WHERE job LIKE :kind ORDER BY id", kind=f"{kind}%")
        for row in rows:
            await run_job(context, JOBS, row.id)

    return work


async def upload(client, name, content):
    answer = await client.post("/v1/imports", files={"file": (name, content)}, data={"start": "false"})
    assert answer.status_code == 202, answer.text
    return (await client.get(answer.headers["Location"])).json()


async def erase(client, person):
    answer = await client.post(f"/v1/persons/{person}/erase", json={"reason": "objected"})
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


async def test_uploads_that_name_the_person_are_deleted_and_counted_and_others_stay(subject, client, database, worker):
    """D78."""
    await upload(client, "utf-16.csv", ROWS.format(address=EMAIL).encode("utf-16"))
    await upload(client, "book.xlsx", workbook("ola@example.com", SECOND.upper()))
    await upload(client, "others.csv", b"Navn;E-post\nOla;ola@example.com\n")
    await worker(kind="import.run")
    assert "import" in await tables_with(database, WORDS), "samples are kept while an import waits"
    location = await erase(client, subject.kari)
    assert (await client.get(location)).json()["state"] == "waiting"
    assert await tables_with(database, [word for word in WORDS if word != "needle"]) == {}
    await worker(kind="erasure.search")
    done = (await client.get(location)).json()
    assert (done["state"], done["result"]["rows"]["uploads"]) == ("succeeded", 2)
    kept = await execute(
        database, "SELECT file_name, file_id, state FROM import WHERE file_name <> 'a.csv' ORDER BY id"
    )
    assert [(row.file_name, row.file_id is not None, row.state) for row in kept] == [
        ("utf-16.csv", False, "ended"), ("book.xlsx", False, "ended"), ("others.csv", True, "waiting"),
    ]  # fmt: skip
    assert await tables_with(database, WORDS) == {}
    assert await execute(database, "SELECT 1 FROM erasure_search") == []


async def test_an_import_at_work_keeps_its_file_until_it_is_over(subject, client, database, worker):
    """D78."""
    await upload(client, "persons.csv", ROWS.format(address=EMAIL).encode())
    location = await erase(client, subject.kari)
    await worker(kind="erasure.search")
    assert (await client.get(location)).json()["state"] == "running"
    assert await execute(database, "SELECT 1 FROM outbox WHERE job = 'erasure.search' AND due_at > now()") != []
    await worker(kind="import.run")
    await worker(kind="erasure.search")
    done = (await client.get(location)).json()
    assert (done["state"], done["result"]["rows"]["uploads"]) == ("succeeded", 1)


async def test_exports_of_lists_with_the_person_on_them_are_deleted_at_once(subject, client, database):
    """D78."""
    body = {"name": "Others", "subject": "Others"}
    other = (await post(client, "mailings", body))["id"]
    written = {}
    for mailing in (subject.sent, other):
        asked = await post(client, f"mailings/{mailing}/recipients/export", {"format": "csv"}, 202)
        [row] = await execute(database, "SELECT id FROM recipient_export WHERE mailing_id = :id", id=mailing)
        await write_export(database, mailing_id=mailing, export_id=row.id)
        written[mailing] = (await client.get(f"/v1/operations/{asked['id']}")).json()["result"]["file"]
    waiting = await post(client, f"mailings/{subject.waiting}/recipients/export", {"format": "csv"}, 202)
    location = await erase(client, subject.kari)
    assert (await client.get(location)).json()["result"]["rows"]["exports"] == 1
    assert (await client.get(written[subject.sent])).status_code == 404
    assert (await client.get(written[other])).status_code == 200
    unwritten = (await client.get(f"/v1/operations/{waiting['id']}")).json()
    assert (unwritten["state"], "erased" in unwritten["error"]["detail"]) == ("failed", True)
    assert await tables_with(database, WORDS) == {}
