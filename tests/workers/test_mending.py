"""The bad rows of an import as a file of its own shape: mended and sent again."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audience import mending
from app.audience.errors import ImportFileGone
from app.audience.mended import write_mendable
from app.audience.sheet_row import REASON_HEADING, REASON_MARK
from app.audience.sheets import SheetOptions, open_sheet
from tests.workers.import_house import DATA, HEADINGS, KARI


async def download(house, import_id, folder):
    async with house.database.begin() as session:
        path, written = await mending.mendable_file(session, import_id=import_id, folder=folder)
    return path.read_bytes(), written


def counted(problems):
    return sorted((field or "", code, rejected) for _, field, code, rejected in problems)


@pytest.mark.parametrize("name", ["persons-2000.csv", "contacts-5000.xlsx", "recipients-300.txt"])
async def test_the_bad_rows_sent_again_as_they_are_have_the_same_problems(house, tmp_path, name):
    import_id = await house.start((DATA / name).read_bytes(), name=name)
    await house.run()
    done = await house.counted(import_id)
    content, written = await download(house, import_id, tmp_path)
    assert written.file_name == name.replace(".", "-problems.")
    bad_rows = {row for row, *_ in done.problems}
    again = await house.bring_in(content, name=written.file_name)
    assert (again.state, again.rows) == ("succeeded", len(bad_rows))
    assert counted(again.problems) == counted(done.problems)
    for told in ("format", "encoding", "delimiter", "heading_row"):
        assert again.detected[told] == done.detected[told], told
    read = [column["field"] for column in again.detected["columns"] if column["field"]]
    assert read == [column["field"] for column in done.detected["columns"] if column["field"]]
    assert again.created == 0 or name == "recipients-300.txt"  # lines without an address are somebody new each time


async def test_a_mended_file_brings_in_what_was_wrong(house, tmp_path):
    content = (HEADINGS + KARI + "2;Ola;=1+1;ola at nordlys.example;+47 912 34 567;;;\n3;;;;;;;;x\n").encode("utf-16")
    import_id = await house.start(content)
    await house.run()
    bad, _ = await download(house, import_id, tmp_path)
    text = bad.decode("utf-16")
    lines = text.splitlines()
    assert bad.startswith(content[:2])
    assert lines[0] == HEADINGS.strip() + ";" + REASON_HEADING
    assert len(lines) == 3
    assert ";'=1+1;" in lines[1]  # a spreadsheet program shows it, and calculates nothing
    assert lines[1].split(";")[-1].startswith(REASON_MARK + "email: ")
    assert "too" not in lines[1]
    mended = text.replace("ola at nordlys", "ola@nordlys").replace("3;;;;;;;;x;", "3;Per;;;;;;;")
    done = await house.bring_in(mended.encode("utf-16"))
    assert (done.state, done.problems) == ("succeeded", [])
    persons = await house.rows("SELECT external_id, last_name, email, cellphone FROM person ORDER BY id")
    assert persons[1] == ("2", "=1+1", "ola@nordlys.example", "+4791234567")
    assert len(persons) == 3


async def test_a_file_without_problems_is_gone(house, tmp_path):
    import_id = await house.start((HEADINGS + KARI).encode())
    await house.run()
    with pytest.raises(ImportFileGone):
        await download(house, import_id, tmp_path)


async def test_the_bad_rows_of_a_dry_run_can_be_mended_before_anything_is_imported(house, tmp_path):
    import_id = await house.start((HEADINGS + KARI + "2;;;no address;;;;\n").encode(), dry_run=True)
    await house.run()
    content, _ = await download(house, import_id, tmp_path)
    assert content.count(b"\n") == 2


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8) | st.sampled_from(
    ["=1+1", "+47 912", "-1", "@x", "'=1", "a;b", 'a"b', "\tx", "a\nb", " a ", "'"]
)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5))
def test_cells_come_back_as_they_were(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("mend")
    source, target = folder / "a.csv", folder / "b.csv"
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\n").writerows([["Navn", "E-post", "Mobil"], *rows])
    source.write_bytes(out.getvalue().encode())
    options = SheetOptions(encoding="utf-8", delimiter=";", heading_row=1)
    read = list(open_sheet(source, file_name="a.csv", options=options).rows())
    reasons = iter([(row.number, "wrong") for row in read])
    write_mendable(source, target, file_name="a.csv", options=options, reasons=reasons)
    again = list(open_sheet(target, file_name="b.csv", options=options).rows())

    def unguarded(rows):
        return [list(row.cells[:3]) for row in rows if any(row.cells[:3])]

    assert [cells + [""] * (3 - len(cells)) for cells in unguarded(again)] == [
        cells + [""] * (3 - len(cells)) for cells in unguarded(read)
    ]
