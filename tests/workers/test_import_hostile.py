"""Files that are worse than bad: a named problem for each row, the good rows imported, and flat memory."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import xlsxwriter

from app.recipients.list_queries import ListRules
from app.recipients.service import update_list
from tests.conftest import ROOT
from tests.workers.import_house import HEADINGS, KARI

_MEASURED = """
import resource, runpy, sys
runpy.run_module("app.audience.reading_process", run_name="__main__", alter_sys=True)
used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(max(used) // 1024, file=sys.stderr)
"""


def peak_mb(path: Path) -> int:
    """Read a file as the worker's child does, and return the most memory it or a child of its own had, in MiB."""
    wanted = {
        "path": str(path), "file_name": path.name, "mapping": None, "options": {}, "next_row": 0,
        "default_country": "NO", "kinds": {}, "sizes": [1000, 10_000],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, json.dumps(wanted)], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, check=True, text=True, timeout=300,
    )  # fmt: skip
    return int(done.stderr.split()[-1])


@pytest.fixture(scope="module")
def usual_mb(tmp_path_factory) -> int:
    """What reading a single batch of ordinary rows takes."""
    return peak_mb(written(tmp_path_factory.mktemp("usual") / "usual.csv", rows=20_000))


def written(path: Path, *, rows: int, middle: bytes = b"", repeat: int = 0) -> Path:
    row = "CRM-{0};Kari;Nordmann {0};kari{0}@nordlys.example;91234567;;ja;1\n"
    with path.open("wb") as out:
        out.write(HEADINGS.encode())
        out.writelines(row.format(number).encode() for number in range(rows // 2))
        for _ in range(repeat):
            out.write(middle)
        out.write(b"\n" if repeat else b"")
        out.writelines(row.format(number).encode() for number in range(rows // 2, rows))
    return path


def test_a_long_file_is_read_with_flat_memory(tmp_path, usual_mb):
    assert peak_mb(written(tmp_path / "long.csv", rows=200_000)) < usual_mb + 20


def test_a_line_of_200_megabytes_is_read_with_flat_memory(tmp_path, usual_mb):
    path = written(tmp_path / "line.csv", rows=100, middle=b"x" * (1 << 20), repeat=200)
    assert path.stat().st_size > 200 << 20
    assert peak_mb(path) < usual_mb + 20


def test_an_open_quote_before_megabytes_is_read_with_flat_memory(tmp_path, usual_mb):
    assert peak_mb(written(tmp_path / "quote.csv", rows=100_000, middle=b'CRM;"Kari;\n', repeat=1)) < usual_mb + 20


async def test_an_endless_line_is_a_named_problem_and_its_neighbours_are_persons(house, tmp_path):
    path = written(tmp_path / "line.csv", rows=10, middle=b"x" * (1 << 20), repeat=4)
    done = await house.bring_in(path.read_bytes())
    assert (done.state, done.rows, done.created, done.rejected) == ("succeeded", 11, 10, 1)
    assert done.problems == [(7, None, "row_too_long", True)]


async def test_fifty_thousand_rows_with_one_address_are_fifty_thousand_persons_if_they_have_ids(real_house):
    rows = "".join(f"{number};Kari;{number};post@nordlys.example;;;;\n" for number in range(50_000))
    done = await real_house.bring_in(HEADINGS + rows)
    assert (done.state, done.rows, done.created, done.updated) == ("succeeded", 50_000, 50_000, 0)
    again = await real_house.bring_in("E-post;By\n" + "post@nordlys.example;Bodø\n" * 50_000)
    assert (again.state, again.rows, again.created, again.updated) == ("succeeded", 50_000, 0, 1)
    assert await real_house.rows("SELECT external_id FROM person WHERE city = 'Bodø'") == [("0",)]  # the oldest


async def test_fifty_thousand_rows_with_one_address_are_one_recipient(real_house):
    """D20: whichever row stated it, the address gets one message."""
    mailing_id = await real_house.one(
        "INSERT INTO mailing (name, subject, from_name, from_email, html, list_updated_at) "
        "VALUES ('News', '', '', '', '', now()) RETURNING id"
    )
    done = await real_house.bring_in(
        "E-post\n" + "post@nordlys.example\n" * 50_000, mailing_id=mailing_id, consent_basis="consent",
        consent_source="fair in Bodø", consent_date="2026-01-02",
    )  # fmt: skip
    assert (done.state, done.rows, done.created) == ("succeeded", 50_000, 50_000)
    assert await real_house.one("SELECT count(*) FROM consent") == 1
    async with real_house.database.begin() as session:
        change = await update_list(session, mailing_id=mailing_id, rules=ListRules(subscription_type_id=None))
    assert change.added == 1
    assert await real_house.rows("SELECT email, status FROM recipient") == [("post@nordlys.example", "ready")]


def bomb(path: Path, *, told_octets: int | None = None) -> Path:
    """A workbook of some 300 kB whose sheet unpacks to 300 MB; its directory may tell another size."""
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet().write_string(0, 0, "E-post")
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    row = b'<row r="1"><c r="A1" t="inlineStr"><is><t>kari@nordlys.example</t></is></c></row>'
    sheet = parts.pop("xl/worksheets/sheet1.xml")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as out:
            out.write(sheet[: sheet.index(b"<sheetData>") + len(b"<sheetData>")])
            for _ in range(300):
                out.write(row * ((1 << 20) // len(row)))
            out.write(b"</sheetData></worksheet>")
    if told_octets is not None:
        content = bytearray(path.read_bytes())
        at = content.rfind(b"PK\x01\x02", 0, content.rfind(b"xl/worksheets/sheet1.xml"))
        content[at + 24 : at + 28] = told_octets.to_bytes(4, "little")
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("told_octets", [None, 100_000], ids=["an honest one", "one that lies about its size"])
async def test_a_zip_bomb_is_refused_by_name_with_flat_memory_and_nothing_is_imported(
    house, tmp_path, usual_mb, told_octets
):
    path = bomb(tmp_path / "bomb.xlsx", told_octets=told_octets)
    assert path.stat().st_size < 3 << 20
    assert peak_mb(path) < usual_mb + 20
    done = await house.bring_in(path.read_bytes(), name="bomb.xlsx")
    assert (done.state, done.rows, done.created) == ("failed", 0, 0)
    assert done.error["code"] in ("too_large", "damaged_file"), done.error
    assert (await house.one("SELECT count(*) FROM person"), done.file_id) == (0, None)


async def test_a_file_that_changes_its_encoding_half_way_keeps_every_letter(house):
    rows = [f"{number};Åse;Ødegård;ase{number}@nordlys.example;;;;\n" for number in range(2000)]
    content = HEADINGS.encode() + "".join(rows[:1200]).encode("cp1252") + "".join(rows[1200:]).encode()
    done = await house.bring_in(content)
    assert (done.state, done.created) == ("succeeded", 2000)
    assert await house.rows("SELECT DISTINCT name FROM person") == [("Åse Ødegård",)]
    assert done.codes["mixed_encoding"] in (800, 1200)  # whichever half is the smaller surprise is named


async def test_rows_with_too_many_or_too_few_cells_are_named_or_read(house):
    done = await house.bring_in(HEADINGS + KARI + "2;Ola\n" + "3;Per;;;;;;;;surplus\n" + "\n" + "\x00\x00\n")
    assert (done.rows, done.created, done.rejected) == (5, 2, 3)
    assert done.problems == [
        (4, None, "too_many_cells", True), (5, None, "blank_row", True), (6, None, "no_identity", True),
    ]  # fmt: skip


async def test_a_reading_process_that_is_killed_imports_nothing_by_halves(house, monkeypatch):
    """The job fails and is tried again; what it had committed stays, and is not done again."""
    monkeypatch.setattr("app.audience.reading_ahead.PROGRAM", "tests.workers.dying_reader")
    import_id = await house.start((HEADINGS + KARI).encode())
    await house.run()
    half = await house.counted(import_id)
    assert (half.state, half.rows) == ("running", 0)
    error = await house.one("SELECT last_error FROM outbox WHERE job = 'import.run'")
    assert error.startswith("ReaderDied")
