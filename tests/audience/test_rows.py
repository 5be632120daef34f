from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audience.answers import country_code, language_tag, yes_or_no
from app.audience.headings import propose_mapping
from app.audience.rows import columns_of, read_contact
from app.audience.sheet_row import RowFault, SheetRow
from app.audience.sheets import open_sheet

DATA = Path(__file__).parents[1] / "data"

FIELDS = [
    "external_id",
    "first_name",
    "last_name",
    "email",
    "cellphone",
    "company",
    "language",
    "consent",
    "subscription:Nyhetsbrev",
    "city",
    "country",
    "title",
    "extra.farge",
]
COLUMNS = columns_of(dict(enumerate(FIELDS)), headless=False)
LIST = columns_of({0: "name", 1: "email", 2: "cellphone"}, headless=True)


def read(columns=COLUMNS, fault=None, **values):
    cells = [values.get(field.split(":")[0].removeprefix("extra."), "") for field in FIELDS]
    return read_contact(SheetRow(7, cells, fault), columns, default_country="NO")


def read_list(*cells):
    return read_contact(SheetRow(7, list(cells)), LIST, default_country="NO")


def codes(problems):
    return [(problem.field, problem.code, problem.severity) for problem in problems]


def test_a_full_row_is_a_person():
    person, problems = read(
        external_id=" CRM-1 ",
        first_name="Kari",
        last_name="Moen",
        email="Kari@Müller.example",
        cellphone="912 34 567",
        company="<b>Moen & Sønn</b>",
        language="Norsk bokmål",
        consent="Ja",
        subscription="0",
        city="Bø",
        title="Sjef",
        farge="=1+1",
    )
    assert not problems
    assert (person.row_number, person.external_id, person.name) == (7, "CRM-1", "Kari Moen")
    assert (person.email.display, person.cellphone) == ("Kari@müller.example", "+4791234567")
    assert (person.company_name, person.language, person.consent, person.city) == (
        "<b>Moen & Sønn</b>",
        "nb",
        True,
        "Bø",
    )
    assert person.subscriptions == {"Nyhetsbrev": False}
    assert person.texts == {"title": "Sjef"}
    assert person.extra == {"farge": "=1+1"}


def test_an_invalid_address_costs_the_address_and_not_the_person():
    person, problems = read(external_id="CRM-1", email="ola.x.example")
    assert (person.email, person.email_text) == (None, "ola.x.example")
    assert codes(problems) == [("email", "invalid_email", "warning")]
    assert problems[0].excerpt == "ola.x.example"


def test_an_invalid_number_costs_the_number_and_a_fixed_one_a_warning():
    """D18 for mobile numbers: nobody is lost for one that is not valid. No mailing of ours goes to numbers yet."""
    person, problems = read(first_name="Ola", cellphone="12345")
    assert (person.cellphone, person.cellphone_text) == (None, "12345")
    assert codes(problems) == [("cellphone", "invalid_phone", "warning")]
    person, problems = read(first_name="Ola", cellphone="22 00 00 00")
    assert person.cellphone == "+4722000000"
    assert codes(problems) == [("cellphone", "not_mobile", "warning")]


def test_numbers_are_read_in_the_country_of_the_row():
    assert read(cellphone="070-593 64 80", country="Sverige")[0].cellphone == "+46705936480"
    assert read(cellphone="070-593 64 80", country="SE")[0].cellphone == "+46705936480"
    assert read(cellphone="912 34 567", country="Utlandet")[0].cellphone == "+4791234567"


def test_a_mailbox_in_the_address_column_gives_the_name_where_there_is_none():
    person, problems = read(email='"Moen, Kari" <k@x.example>')
    assert (person.name, person.email.address, problems) == ("Moen, Kari", "k@x.example", [])
    assert read(first_name="Ola", email="Kari <k@x.example>")[0].name == "Ola"


def test_a_value_never_brings_a_line_break_or_a_nul_along():
    person, problems = read(last_name="Moen\r\nBcc: x@evil.example", farge="a\x00b\tc", email="o\x00la@x.example")
    assert person.last_name == "Moen Bcc: x@evil.example"
    assert person.extra == {"farge": "ab c"}
    assert person.email is None
    assert codes(problems) == [("email", "invalid_email", "warning")]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "blank_row"),
        ({"city": " \u00a0 "}, "blank_row"),
        ({"company": "Moen AS", "consent": "ja"}, "no_identity"),
        ({"external_id": "x" * 201, "first_name": "Ola"}, "external_id_too_long"),
    ],
)
def test_a_row_that_is_nobody_is_rejected_by_name(values, code):
    person, problems = read(**values)
    assert person is None
    assert [(problem.row_number, problem.code, problem.severity) for problem in problems] == [(7, code, "rejected")]


def test_what_the_sheet_found_is_passed_on():
    person, problems = read(first_name="Ola", fault=RowFault("broken_quoting", "Mend it.", rejected=False))
    assert person.first_name == "Ola"
    assert codes(problems) == [(None, "broken_quoting", "warning")]
    person, problems = read(first_name="Ola", fault=RowFault("too_many_cells", "Mend it.", rejected=True))
    assert person is None
    assert codes(problems) == [(None, "too_many_cells", "rejected")]


def test_unknown_answers_count_as_not_told():
    person, problems = read(first_name="Ola", consent="kanskje", subscription="?", language="klingonsk")
    assert (person.consent, person.subscriptions, person.language) == (None, {}, None)
    assert sorted(code for _, code, _ in codes(problems)) == ["unknown_answer", "unknown_answer", "unknown_language"]


def test_long_texts_are_cut_with_a_warning():
    person, problems = read(first_name="x" * 300, farge="y" * 2500)
    assert (len(person.first_name), len(person.name), len(person.extra["farge"])) == (200, 200, 2000)
    assert [(problem.field, problem.code) for problem in problems] == [
        ("first_name", "value_too_long"),
        ("extra.farge", "value_too_long"),
    ]


@pytest.mark.parametrize(
    ("cells", "name", "email", "phone"),
    [
        (["Kari Moen", " k@x.example", " 91234567"], "Kari Moen", "k@x.example", "+4791234567"),
        (["k@x.example"], "", "k@x.example", None),
        (["Kari <k@x.example>"], "Kari", "k@x.example", None),
        (["Kari Moen <k@x.example>", "91234567"], "Kari Moen", "k@x.example", "+4791234567"),
        (["", "k@x.example"], "", "k@x.example", None),
        ([" ", " ", " +47 91234567"], "", "", "+4791234567"),
        (["91234567"], "", "", "+4791234567"),
        (["Kari Moen"], "Kari Moen", "", None),
        (["kari.x.example"], "", "kari.x.example", None),
        (["Kari Moen", "kari.x.example", "91234567"], "Kari Moen", "kari.x.example", "+4791234567"),
        (["Moen", "Kari", "k@x.example"], "Moen Kari", "k@x.example", None),
    ],
)
def test_a_line_of_a_list_is_read_in_every_form_people_write(cells, name, email, phone):
    person, _ = read_list(*cells)
    assert (person.name, person.email_text if person.email is None else person.email.address, person.cellphone) == (
        name,
        email,
        phone,
    )


def test_a_second_address_in_a_line_is_named():
    person, problems = read_list("a@x.example", "Ola", "b@x.example")
    assert person.email.address == "a@x.example"
    assert codes(problems) == [("email", "unused_value", "warning")]


@given(st.lists(st.text(max_size=12), max_size=14), st.booleans())
def test_every_row_is_a_person_or_a_named_problem(cells, headless):
    columns = LIST if headless else COLUMNS
    person, problems = read_contact(SheetRow(3, cells), columns, default_country="NO")
    rejected = [problem for problem in problems if problem.severity == "rejected"]
    assert (person is None) == (len(rejected) == 1)
    assert all(problem.row_number == 3 and problem.detail.endswith(".") for problem in problems)


@pytest.mark.parametrize(
    ("text", "told"),
    [("ja", True), ("JEPP", None), ("Nej", False), ("nee", False), ("Yes", True), ("1", True), ("0", False),
     ("x", True), ("TRUE", True), ("falsch", False), (" NEIN ", False), ("-", None), ("2", None)],
)  # fmt: skip
def test_yes_and_no_in_six_languages(text, told):
    assert yes_or_no(text) is told


@pytest.mark.parametrize(
    ("text", "tag"),
    [("nb", "nb"), ("NO", "nb"), ("no-NO", "nb-NO"), ("en_gb", "en-GB"), ("Svenska", "sv"), ("Dänisch", "da"),
     ("dk", None), ("zh-hant-tw", "zh-Hant-TW"), ("Deutsch", "de"), ("hollandsk", "nl"), ("klingon", None),
     ("english please", None)],
)  # fmt: skip
def test_languages_become_tags(text, tag):
    assert language_tag(text) == tag


@pytest.mark.parametrize(
    ("text", "code"), [("no", "NO"), ("Norge", "NO"), ("UK", "GB"), ("Österreich", "AT"), ("x", None)]
)
def test_countries_become_codes(text, code):
    assert country_code(text) == code


@pytest.mark.parametrize(
    ("name", "persons", "without_address", "found"),
    [
        ("persons-2000.csv", 2000, 125, {"invalid_email": 88, "invalid_phone": 182}),
        ("contacts-5000.xlsx", 5000, 320, {"invalid_email": 211, "invalid_phone": 469}),
        ("recipients-300.txt", 294, 32, {"invalid_email": 13, "invalid_phone": 8, "blank_row": 6}),
    ],
)
def test_every_row_of_the_test_data_is_accounted_for(name, persons, without_address, found):
    sheet = open_sheet(DATA / name, file_name=name)
    columns = columns_of(
        propose_mapping(sheet.headings, [row.cells for row in sheet.sample]), headless=not sheet.headings
    )
    read_rows = [read_contact(row, columns, default_country="NO") for row in sheet.rows()]
    kept = [person for person, _ in read_rows if person]
    assert len(kept) == persons
    assert sum(person.email is None for person in kept) == without_address
    assert Counter(problem.code for _, problems in read_rows for problem in problems) == found
