import codecs
import datetime as dt
import io
import json
import os
import random
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from app.audience import workbook_reader
from app.audience.sheet_row import MAX_ROW_BYTES, UnreadableFile
from app.audience.sheets import SheetOptions, open_sheet

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def opened(tmp_path):
    def open_(content, *, name="list.csv", **options):
        path = tmp_path / "upload"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return open_sheet(path, file_name=name, options=SheetOptions(**options))

    return open_


def rows_of(sheet):
    return [(row.number, row.cells) for row in sheet.rows()]


def workbook(tmp_path, write):
    path = tmp_path / "book.xlsx"
    book = xlsxwriter.Workbook(path)
    write(book)
    book.close()
    return path


# The three real files


def test_a_crm_export_is_read_to_the_last_row():
    sheet = open_sheet(DATA / "persons-2000.csv", file_name="persons-2000.csv")
    assert (sheet.format, sheet.encoding, sheet.delimiter, sheet.heading_row) == ("csv", "cp1252", ";", 1)
    assert sheet.headings[3] == "E-post"
    rows = list(sheet.rows())
    assert [row.number for row in rows] == list(range(2, 2002))
    assert not [row for row in rows if row.fault]
    assert sum("\nBcc: " in row.cells[2] for row in rows) == 12
    assert rows[-1].cells[0] == "CRM-101999"


def test_headings_below_a_title_are_found_in_a_workbook():
    sheet = open_sheet(DATA / "contacts-5000.xlsx", file_name="contacts-5000.csv")
    assert (sheet.format, sheet.encoding, sheet.sheet_name, sheet.heading_row) == ("xlsx", None, "Kontakter", 3)
    assert sheet.preamble[0].cells[0] == "Eksport fra CRM, ikke rediger"
    rows = rows_of(sheet)
    assert rows[0][0] == 4
    assert rows[-1] == (5003, rows[-1][1])
    assert len(rows) == 5000


def test_a_text_list_has_no_headings_and_keeps_its_blank_rows():
    sheet = open_sheet(DATA / "recipients-300.txt", file_name="recipients-300.txt")
    assert (sheet.format, sheet.encoding, sheet.delimiter, sheet.heading_row) == ("txt", "utf-8", ",", None)
    rows = rows_of(sheet)
    assert rows[0][1][0] == "Sjoerd Booden"
    assert len(rows) == 300
    assert Counter(len(cells) for _, cells in rows)[0] == 6


# Encodings


@pytest.mark.parametrize(
    ("codec", "mark", "name"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", codecs.BOM_UTF8, "utf-8"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "utf-16-le"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "utf-16-be"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-32-le", codecs.BOM_UTF32_LE, "utf-32-le"),
        ("cp1252", b"", "cp1252"),
        ("cp850", b"", "cp850"),
        ("mac_roman", b"", "mac_roman"),
    ],
)
def test_the_encoding_is_found(opened, codec, mark, name):
    text = "Navn;E-post\r\nBjørn Ødegård;bjorn@x.example\r\nÆrlend Sjöberg;e@x.example\r\nRené Müller;r@x.example\r\n"
    sheet = opened(mark + text.encode(codec))
    assert sheet.encoding == name
    assert [cells[0] for _, cells in rows_of(sheet)] == ["Bjørn Ødegård", "Ærlend Sjöberg", "René Müller"]


def test_letters_beyond_ascii_far_into_the_file_decide_the_encoding(opened):
    plain = "Ola Moen;ola@x.example\n" * 100_000
    sheet = opened(("Navn;E-post\n" + plain).encode() + "Bjørn;b@x.example\n".encode("cp1252"))
    assert sheet.encoding == "cp1252"
    *_, last = sheet.rows()
    assert (last.cells[0], last.fault) == ("Bjørn", None)


@pytest.mark.parametrize(("first", "second"), [("utf-8", "cp1252"), ("cp1252", "utf-8")])
def test_a_file_that_changes_its_encoding_is_read_and_each_such_row_named(opened, first, second):
    content = b"Navn;E-post\n"
    content += "".join(f"Bjørn {n};b{n}@x.example\n" for n in range(50)).encode(first)
    content += "".join(f"Åse {n};a{n}@x.example\n" for n in range(20)).encode(second)
    sheet = opened(content)
    rows = list(sheet.rows())
    assert sheet.encoding == first
    assert {row.cells[0].split()[0] for row in rows} == {"Bjørn", "Åse"}
    assert [row.number for row in rows if row.fault] == list(range(52, 72))
    assert {row.fault.code for row in rows if row.fault} == {"mixed_encoding"}


def test_bytes_that_no_encoding_has_still_make_a_row(opened):
    sheet = opened(b"Navn;E-post\nBj\xf8rn;b@x.example\nX\x81y;x@x.example\n")
    (_, first, second) = [None, *sheet.rows()]
    assert first.fault is None
    assert second.fault.code == "mixed_encoding"
    assert second.cells[1] == "x@x.example"


def test_a_given_encoding_is_taken(opened):
    sheet = opened("Navn;E-post\nŁukasz;l@x.example\n".encode("cp1250"), encoding="windows-1250")
    assert rows_of(sheet)[0][1][0] == "Łukasz"


@pytest.mark.parametrize("encoding", ["nonsense", "rot13", "cp037", "idna", "unicode_escape"])
def test_an_encoding_that_is_none_is_refused(opened, encoding):
    with pytest.raises(UnreadableFile, match="not a text encoding"):
        opened("Navn;E-post\nOla;o@x.example\n", encoding=encoding)


def test_old_line_ends_and_stray_carriage_returns(opened):
    assert len(rows_of(opened(b"Navn;E-post\rOla;o@x.example\rKari;k@x.example\r"))) == 2
    assert rows_of(opened(b"Navn;E-post\nOla\rMoen;o@x.example\n"))[0][1] == ["Ola Moen", "o@x.example"]


# Delimiters, quotes, widths


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_the_delimiter_is_found(opened, delimiter):
    lines = [
        "Navn;E-post;Firma",
        '"Moen; Ola, Kari | og";o@x.example;"Berg, Dal og Co"',
        "Kari;k@x.example;Lie Lund, AS",
    ]
    text = "\n".join(delimiter.join(part for part in cells_of(line)) for line in lines)
    sheet = opened(text)
    assert sheet.delimiter == delimiter
    assert sheet.width == 3


def cells_of(line):
    cells, quoted, cell = [], False, ""
    for char in line:
        if char == '"':
            quoted = not quoted
        if char == ";" and not quoted:
            cells.append(cell)
            cell = ""
        else:
            cell += char
    return [f'"{text}"' if "," in text and '"' not in text else text for text in (*cells, cell)]


def test_the_delimiter_may_be_told_in_the_file_or_by_the_user(opened):
    sheet = opened("sep=|\nNavn|E-post\nOla; Kari; Per|o@x.example\n")
    assert (sheet.delimiter, sheet.heading_row) == ("|", 2)
    sheet = opened("sep=;\nOla;o@x.example\n")
    assert rows_of(sheet) == [(2, ["Ola", "o@x.example"])]
    assert opened("Navn;E-post\nOla;o@x.example\n", delimiter=",").delimiter == ","
    with pytest.raises(UnreadableFile, match="delimiter must be"):
        opened("Navn;E-post\nOla;o@x.example\n", delimiter="@@")


def test_quoted_cells_keep_delimiters_quotes_and_line_breaks(opened):
    sheet = opened('Navn;E-post\n"Moen; ""Ola""\r\nBcc: x@evil.example" ;o@x.example\nKari;k@x.example\n')
    assert rows_of(sheet) == [
        (2, ['Moen; "Ola"\nBcc: x@evil.example', "o@x.example"]),
        (3, ["Kari", "k@x.example"]),
    ]


def test_a_quote_without_partner_spoils_only_its_own_row(opened):
    sheet = opened('Navn;E-post\n"Ola;o@x.example\nKari;k@x.example\n"Per";p@x.example\nSiri;s@x.example\n')
    rows = list(sheet.rows())
    assert [row.number for row in rows] == [2, 3, 4, 5]
    assert [row.fault.code if row.fault else None for row in rows] == ["broken_quoting", None, None, None]
    assert [row.cells[1][0] for row in rows] == ["o", "k", "p", "s"]


def test_a_quote_open_to_the_end_of_the_file_loses_no_row(opened):
    rows = list(opened('Navn;E-post\n"Ola;o@x.example\n' + "Kari;k@x.example\n" * 1000).rows())
    assert [row.number for row in rows] == list(range(2, 1003))
    assert [row.number for row in rows if row.fault] == [2]


def test_a_quote_inside_a_value_is_a_character(opened):
    assert rows_of(opened('Navn;E-post\nOla "Kari" 12";o@x.example\n'))[0][1][0] == 'Ola "Kari" 12"'


def test_a_file_of_half_open_quotes_is_read_in_linear_time(opened):
    started = time.process_time()
    sheet = opened("Navn;E-post\n" + 'a";"b\n' * 50_000)
    assert len(list(sheet.rows())) == 50_000
    assert time.process_time() - started < 20


def test_surplus_cells_reject_the_row_unless_they_are_empty(opened):
    rows = list(opened("Navn;E-post\nOla;o@x.example;;\nMoen;Kari;k@x.example\nPer\n").rows())
    assert rows[0].cells == ["Ola", "o@x.example"]
    assert (rows[1].fault.code, rows[1].fault.rejected) == ("too_many_cells", True)
    assert rows[2].cells == ["Per"]


def test_a_row_of_thousands_of_cells_is_cut_and_named(opened):
    row = next(opened("o@x.example\n" + ";" * 5000 + "\n" + "p@x.example;1\n", delimiter=";", heading_row=0).rows())
    assert row.fault is None
    row = list(opened("o@x.example;1\n" + ";" * 5000 + "\n", heading_row=0).rows())[1]
    assert (len(row.cells), row.fault.code) == (500, "too_many_cells")


def test_an_endless_row_is_left_out_and_named(opened):
    endless = "x" * (MAX_ROW_BYTES * 3)
    sheet = opened(f"Navn;E-post\nOla;o@x.example\n{endless};e@x.example\nKari;k@x.example\n")
    rows = list(sheet.rows())
    assert [row.number for row in rows] == [2, 3, 4]
    assert (rows[1].fault.code, rows[1].fault.rejected) == ("row_too_long", True)
    assert rows[2].cells[0] == "Kari"


@given(
    st.lists(st.text(st.sampled_from('aø";,\n\r\t @.'), max_size=12), min_size=1, max_size=30),
    st.sampled_from(["utf-8", "cp1252"]),
)
def test_every_line_of_any_text_is_in_some_row(tmp_path_factory, lines, encoding):
    path = tmp_path_factory.mktemp("any") / "any.txt"
    content = "\n".join(["o@x.example;1", *lines]) + "\n"
    path.write_bytes(content.encode(encoding))
    rows = list(open_sheet(path, file_name="any.txt", options=SheetOptions(heading_row=0)).rows())
    letters = Counter(char for char in content if char in "aø@.")
    assert Counter(char for row in rows for cell in row.cells for char in cell if char in "aø@.") == letters
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))


# Headings


def test_headings_can_be_told(opened):
    text = "Liste\nNavn;E-post\nOla;o@x.example\n"
    assert opened(text).heading_row == 2
    assert opened(text, heading_row=0).heading_row is None
    assert opened(text, heading_row=1).headings == ("Liste",)
    with pytest.raises(UnreadableFile, match="among the first 3 rows"):
        opened(text, heading_row=9)


def test_a_person_is_not_taken_for_a_heading(opened):
    assert opened("Ola By,o@x.example\nBy,b@x.example\nNavn\n", name="a.txt").heading_row is None
    assert opened("By\no@x.example\n", name="a.txt").headings == ("By",)
    assert opened("o@x.example\nBy\n", name="a.txt").heading_row is None


# What is no sheet


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (codecs.BOM_UTF8 + b"\r\n \r\n", "is empty"),
        (b";;;\n;;;\n", "are empty"),
        (b"%PDF-1.7\n%\xe2\xe3\n1 0 obj", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a PNG image"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG image"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"BEGIN:VCARD\nVERSION:4.0\n", "a vCard"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Office format"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "has a password"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"a\x00\x01\x02\x03\x04\x05;b" * 50, "binary data"),
    ],
)
def test_what_is_no_sheet_is_called_by_its_name(opened, content, words):
    with pytest.raises(UnreadableFile, match=words) as refusal:
        opened(content, name="list.csv")
    assert refusal.value.detail.endswith(".")


@pytest.mark.parametrize("nonsense", ["random", "one line"])
def test_a_hundred_megabytes_of_nonsense_are_refused_at_once(tmp_path, nonsense):
    path = tmp_path / "nonsense.csv"
    block = random.Random(1).randbytes(1024 * 1024) if nonsense == "random" else b"Zm9v" * 256 * 1024
    with path.open("wb") as file:
        for _ in range(100):
            file.write(block)
    started = time.process_time()
    with pytest.raises(UnreadableFile):
        open_sheet(path, file_name="nonsense.csv")
    assert time.process_time() - started < 1


def test_a_long_file_is_read_with_flat_memory(tmp_path):
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("Navn;E-post\n")
        file.writelines(f'"Ola {n}";ola{n}@x.example;\n' for n in range(300_000))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak_kilobytes()
    count = sum(1 for _ in open_sheet(path, file_name="long.csv").rows())
    assert count == 300_000
    assert peak_kilobytes() - before < 10 * 1024


def peak_kilobytes():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


# Workbooks


def test_workbook_cells_are_the_texts_a_person_sees(tmp_path):
    def write(book):
        sheet = book.add_worksheet("Liste")
        for column, heading in enumerate(["Navn", "Mobil", "Nyhetsbrev", "Født", "Poeng"]):
            sheet.write(0, column + 1, heading)
        sheet.write_row(2, 1, ["Ola", 4796280232, True])
        sheet.write_datetime(2, 4, dt.date(2026, 1, 31), book.add_format({"num_format": "yyyy-mm-dd"}))
        sheet.write_number(2, 5, 3.5)

    sheet = open_sheet(workbook(tmp_path, write), file_name="x.csv")
    assert sheet.headings == ("", "Navn", "Mobil", "Nyhetsbrev", "Født", "Poeng")
    assert rows_of(sheet) == [(2, []), (3, ["", "Ola", "4796280232", "TRUE", "2026-01-31", "3.5"])]


def test_the_first_visible_sheet_with_cells_is_read_or_the_one_named(tmp_path):
    def write(book):
        book.add_worksheet("Tom")
        hidden = book.add_worksheet("Skjult")
        hidden.write(0, 0, "Navn")
        hidden.hide()
        book.add_worksheet("Folk").write_column(0, 0, ["Navn", "Ola"])

    path = workbook(tmp_path, write)
    sheet = open_sheet(path, file_name="x.xlsx")
    assert (sheet.sheet_name, sheet.sheet_names) == ("Folk", ("Tom", "Skjult", "Folk"))
    assert rows_of(sheet) == [(2, ["Ola"])]
    assert open_sheet(path, file_name="x.xlsx", options=SheetOptions(sheet_name="Skjult")).headings == ("Navn",)
    with pytest.raises(UnreadableFile, match="It has: Tom, Skjult, Folk"):
        open_sheet(path, file_name="x.xlsx", options=SheetOptions(sheet_name="Annet"))


def test_an_empty_workbook_is_empty(tmp_path):
    with pytest.raises(UnreadableFile, match="empty"):
        open_sheet(workbook(tmp_path, lambda book: book.add_worksheet()), file_name="x.xlsx")


def zipped(tmp_path, parts):
    path = tmp_path / "parts.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"word/document.xml": "x"}, "a Word document"),
        ({"mimetype": "x", "content.xml": "x"}, "OpenDocument"),
        ({"a.csv": "x"}, "without a workbook"),
        ({"xl/workbook.bin": "x"}, "binary workbook"),
        ({"xl/workbook.xml": "x"}, "damaged"),
        ({"xl/workbook.xml": "x", "xl/worksheets/sheet1.xml": bytes(64 * 1024**2)}, "unpacks to 64 MB"),
    ],
)
def test_an_archive_that_is_no_honest_workbook_is_refused(tmp_path, parts, words):
    with pytest.raises(UnreadableFile, match=words):
        open_sheet(zipped(tmp_path, parts), file_name="x.xlsx")


def rewritten(tmp_path, sheet_xml):
    original = io.BytesIO(workbook(tmp_path, lambda book: book.add_worksheet().write(0, 0, "Navn")).read_bytes())
    with zipfile.ZipFile(original) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    parts["xl/worksheets/sheet1.xml"] = sheet_xml
    return zipped(tmp_path, parts)


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)


def test_a_cell_in_the_last_corner_costs_only_the_reading_process(tmp_path):
    corner = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    with pytest.raises(UnreadableFile, match="too large to be read as a workbook"):
        open_sheet(rewritten(tmp_path, SHEET.format(corner)), file_name="x.xlsx")


def test_a_part_larger_than_its_directory_says_is_refused(tmp_path):
    path = rewritten(tmp_path, SHEET.format("<row/>" * 3_000_000))
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x01\x02", 0, content.rfind(b"xl/worksheets/sheet1.xml"))
    content[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UnreadableFile):
        open_sheet(path, file_name="x.xlsx")


def test_leaving_a_workbook_early_ends_its_process(tmp_path):
    sheet = open_sheet(DATA / "contacts-5000.xlsx", file_name="x.xlsx")
    rows = sheet.rows()
    next(rows)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    running = set(children.read_text().split())
    rows.close()
    rest = {pid for pid in children.read_text().split() if workbook_reader.__file__ in command_of(pid)}
    assert not rest & running


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_the_reader_shows_values_as_texts(capsys):
    workbook_reader.say([workbook_reader.shown(value) for value in (1.0, 1e20, -0.5, False, "x")])
    assert json.loads(capsys.readouterr().out) == ["1", "1e+20", "-0.5", "FALSE", "x"]
