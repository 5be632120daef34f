"""A list as a file (D23)."""

import csv
import io
from datetime import timedelta
from html.parser import HTMLParser
from itertools import count

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import text

from app.platform.clock import now
from app.platform.db import run
from app.recipients import export_formats
from app.recipients.export_formats import ExportFormat, harmless, open_writer
from app.recipients.export_queries import COLUMNS, forget_exports
from app.recipients.exports import write_export
from tests.recipients.desk import Desk

EVIL = '=HYPERLINK("http://evil.example","x")'


@pytest.fixture
async def listed(desk):
    person = await desk.person("kari@example.com", name=EVIL)
    await desk.source(kind="person", person_id=person)
    await desk.source(kind="addresses", addresses=["Åse <aase@example.com>", "@nonsense"])
    await desk.row("UPDATE recipient SET name = 'Åse <b>& Co</b>' WHERE reason = 'excluded'")
    await desk.row("UPDATE recipient SET status = 'sent', sent_at = '2026-11-24T10:00:00Z' WHERE status = 'ready'")
    return desk


async def export(desk: Desk, database, kind, **found):
    operation = await desk.post(f"mailings/{desk.mailing}/recipients/export", {"format": kind, "filter": found}, 202)
    job = await desk.row("SELECT args FROM outbox WHERE job = 'list.export' ORDER BY id DESC LIMIT 1")
    await write_export(database, mailing_id=job.args["mailing"], export_id=job.args["export"])
    done = await desk.get(f"operations/{operation['id']}")
    assert done["state"] == "succeeded", done
    answer = await desk.client.get(done["result"]["file"])
    assert answer.status_code == 200
    return done["result"], answer


async def test_csv_keeps_every_line_and_no_cell_is_a_formula(listed, database):
    """D23: exported to CSV."""
    result, answer = await export(listed, database, "csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="recipients-{listed.mailing}.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbf")
    heading, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert heading == list(COLUMNS.values())
    assert result["rows"] == len(rows) == 3
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    assert found[0]["name"] == f"'{EVIL}"
    assert (found[0]["status"], found[0]["sent_at"]) == ("sent", "2026-11-24T10:00:00Z")
    assert (found[1]["email"], found[1]["reason"]) == ("aase@example.com", "excluded")
    assert (found[2]["email"], found[2]["reason"]) == ("'@nonsense", "invalid_address")


async def test_numbers_are_the_persons_or_those_that_came_with_the_address(listed, database):
    """D17, D18: a file's mobile numbers are kept, also beside an address that is not valid."""
    desk = listed
    await desk.person("per@example.com", name="Per", emails=["per@example.com", "per@work.example"])
    source = await desk.source(
        kind="addresses", addresses=["per@work.example", "@nobody", "aase@example.com", "kari@example.com"]
    )
    for position, number in enumerate(("+4791234567", "+4792222222", "+4793333333", "+4794444444")):
        await desk.row(
            "UPDATE source_address SET mobile = :number WHERE source_id = :source AND position = :position",
            number=number, source=source["id"], position=position,
        )  # fmt: skip
    await desk.row("UPDATE person SET cellphone = '+4795555555' WHERE email_key = 'kari@example.com'")
    await desk.row("UPDATE recipient SET source_id = :source WHERE email <> '@nonsense'", source=source["id"])
    numbers = {line["email"]: line["mobile"] for line in await desk.listed()}
    assert numbers == {
        "kari@example.com": "+4795555555", "aase@example.com": "+4793333333", "per@example.com": "+4791234567",
        "@nobody": "+4792222222", "@nonsense": None,
    }  # fmt: skip
    _, answer = await export(desk, database, "text")
    heading, *rows = (line.split("\t") for line in answer.text.splitlines())
    assert {row[1].lstrip("'"): row[2].lstrip("'") or None for row in rows} == numbers
    assert heading[2] == "Mobile"


async def test_xlsx_has_text_cells_where_text_is(listed, database):
    """D23: to XLSX."""
    _, answer = await export(listed, database, "xlsx")
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(answer.content)).get_sheet_by_index(0).to_python()
    assert sheet[0] == list(COLUMNS.values())
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in sheet[1:]]
    assert [row["name"] for row in rows] == [EVIL, "Åse <b>& Co</b>", ""]
    assert f"{rows[0]['sent_at']:%Y-%m-%dT%H:%M:%S}" == "2026-11-24T10:00:00"
    assert rows[2]["email"] == "@nonsense"
    assert b"<f>" not in answer.content


class Table(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.rows, self.cell = [], [], None

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None


async def test_html_is_an_accessible_table_and_what_strangers_wrote_is_text(listed, database):
    """D23: to HTML."""
    _, answer = await export(listed, database, "html")
    assert answer.headers["x-content-type-options"] == "nosniff"
    table = Table()
    table.feed(answer.text)
    assert table.rows[0] == list(COLUMNS.values())
    assert [row[0] for row in table.rows[1:]] == [EVIL, "Åse <b>& Co</b>", ""]
    tags = [tag for tag, _ in table.tags]
    assert "b" not in tags
    assert tags.count("caption") == 1
    assert ("html", {"lang": "en"}) in table.tags
    scopes = [attributes.get("scope") for tag, attributes in table.tags if tag == "th"]
    assert scopes == ["col"] * len(COLUMNS) + ["row"] * 3


async def test_text_has_a_line_each_and_tabs_between(listed, database):
    """D23: to text."""
    await listed.row("UPDATE recipient SET reply = E'250 two\\r\\n\\tlines' WHERE status = 'sent'")
    _, answer = await export(listed, database, "text")
    lines = [line.split("\t") for line in answer.text.splitlines()]
    assert {len(line) for line in lines} == {len(COLUMNS)}
    assert dict(zip(COLUMNS, lines[1], strict=True))["reply"] == "250 two lines"


async def test_a_filter_exports_those_it_means(listed, database):
    result, _ = await export(listed, database, "csv", status=["blocked"], reason=["excluded"])
    assert result["rows"] == 1


async def test_a_file_is_kept_for_a_day_and_then_goes(listed, database):
    result, _ = await export(listed, database, "csv")
    await listed.row("UPDATE recipient_export SET expires_at = :then", then=now() - timedelta(seconds=1))
    answer = await listed.client.get(result["file"])
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:budstikke:problem:export-not-found")
    assert await forget_exports(listed.session) == 1
    assert (await listed.row("SELECT count(*) AS files FROM stored_file")).files == 0
    assert (await listed.row("SELECT count(*) AS pieces FROM stored_piece")).pieces == 0


async def test_a_file_that_is_not_written_yet_is_not_found_and_names_its_operation(listed):
    operation = await listed.post(f"mailings/{listed.mailing}/recipients/export", {"format": "csv"}, 202)
    export_id = (await listed.row("SELECT max(id) AS id FROM recipient_export")).id
    answer = await listed.client.get(f"/v1/mailings/{listed.mailing}/recipients/exports/{export_id}")
    assert answer.status_code == 404
    assert f"operation {operation['id']}" in answer.json()["detail"]


async def test_a_cancelled_export_leaves_nothing(listed, database):
    operation = await listed.post(f"mailings/{listed.mailing}/recipients/export", {"format": "csv"}, 202)
    await listed.post(f"operations/{operation['id']}/cancel", status=202)
    export_id = (await listed.row("SELECT max(id) AS id FROM recipient_export")).id
    await write_export(database, mailing_id=listed.mailing, export_id=export_id)
    assert (await listed.get(f"operations/{operation['id']}"))["state"] == "cancelled"
    assert (await listed.row("SELECT count(*) AS files FROM stored_file")).files == 0


async def test_an_export_needs_its_mailing_and_a_known_format(desk):
    await desk.post("mailings/999/recipients/export", {"format": "csv"}, 404)
    problem = await desk.post(f"mailings/{desk.mailing}/recipients/export", {"format": "pdf"}, 422)
    assert problem["errors"][0]["pointer"] == "#/format"
    problem = await desk.post(f"mailings/{desk.mailing}/recipients/export", {"format": "csv", "filter": {"x": 1}}, 422)
    assert problem["errors"][0]["pointer"] == "#/filter/x"


@pytest.mark.parametrize("start", export_formats.FORMULA_STARTS)
def test_text_that_would_be_a_formula_gets_an_apostrophe(start):
    assert harmless(f"{start}1+1") == f"'{start}1+1"
    assert harmless(f"a{start}") == f"a{start}"


def test_a_list_longer_than_a_sheet_goes_on_on_the_next(tmp_path, monkeypatch):
    path = tmp_path / "x.xlsx"
    writer = export_formats._Xlsx(path, "x", ["Number"], sheet_rows=101)
    numbers = count()
    for _ in range(5):
        writer.add([[next(numbers)] for _ in range(50)])
    writer.close()
    book = CalamineWorkbook.from_path(path)
    sheets = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    assert [len(sheet) for sheet in sheets] == [101, 101, 51]
    assert [row[0] for sheet in sheets for row in sheet[1:]] == list(range(250))
    assert {sheet[0][0] for sheet in sheets} == {"Number"}


def test_control_characters_and_long_text_make_no_broken_workbook(tmp_path):
    path = tmp_path / "x.xlsx"
    writer = open_writer(ExportFormat.XLSX, path=path, title="x", columns=["Text"])
    writer.add([["a\x01b\x0bc"], ["x" * 40_000], ["\ud7ff \U0001f600"]])
    writer.close()
    rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    assert rows[2][0] == "x" * export_formats.CELL_CHARACTERS
    assert rows[3][0].endswith("\U0001f600")


async def test_the_job_writes_the_file(listed, database, settings):
    await run(listed.session, text("DELETE FROM outbox"))
    await listed.post(f"mailings/{listed.mailing}/recipients/export", {"format": "csv"}, 202)
    job = await listed.row("SELECT job, args FROM outbox")
    assert job.job == "list.export"
    assert set(job.args) == {"mailing", "export", "operation"}
