import pytest

from app.audience.headings import InvalidMapping, check_mapping, find_headings, propose_mapping
from app.audience.sheet_row import SheetRow


@pytest.mark.parametrize(
    ("headings", "fields"),
    [
        (
            [
                "Kontakt-ID",
                "Fornavn",
                "Etternavn",
                "E-postadresse",
                "Mobiltelefon",
                "Firma",
                "Språk",
                "Poststed",
                "Land",
            ],
            ["external_id", "first_name", "last_name", "email", "cellphone", "company", "language", "city", "country"],
        ),
        (
            ["Namn", "E-postadress", "Mobilnummer", "Företag", "Bransch", "Språk", "Ort", "Samtycke e-marknadsföring"],
            ["name", "email", "cellphone", "company", "business", "language", "city", "consent"],
        ),
        (
            ["Fornavn", "Efternavn", "E-mail", "Mobil", "Virksomhed", "Stilling", "Sprog", "By"],
            ["first_name", "last_name", "email", "cellphone", "company", "position", "language", "city"],
        ),
        (
            ["Voornaam", "Achternaam", "E-mailadres", "Mobiel", "Bedrijf", "Taal", "Woonplaats", "Toestemming"],
            ["first_name", "last_name", "email", "cellphone", "company", "language", "city", "consent"],
        ),
        (
            ["Vorname", "Nachname", "E-Mail-Adresse", "Handy", "Unternehmen", "Durchwahl", "Sprache", "Einwilligung"],
            ["first_name", "last_name", "email", "cellphone", "company", "direct", "language", "consent"],
        ),
        (
            ["External ID", "Full name", "EMAIL_ADDRESS", "Mobile phone", "Job title", "Category", "Customer number"],
            ["external_id", "name", "email", "cellphone", "title", "category", "number"],
        ),
    ],
)
def test_headings_are_known_in_six_languages(headings, fields):
    assert list(propose_mapping(headings, []).values()) == fields


def test_a_subscription_column_keeps_its_name():
    assert propose_mapping(["E-post", "Nyhetsbrev", "Invitasjoner"], []) == {
        0: "email",
        1: "subscription:Nyhetsbrev",
        2: "subscription:Invitasjoner",
    }


def test_a_telephone_is_the_mobile_only_where_there_is_no_other():
    assert propose_mapping(["Navn", "Telefon"], []) == {0: "name", 1: "cellphone"}
    assert propose_mapping(["Navn", "Telefon", "Mobil"], []) == {0: "name", 1: "direct", 2: "cellphone"}


def test_what_is_not_known_becomes_an_extra_field():
    headings = ["E-post", "Favorittfarge (høst)", "", "E-mail", "Favorittfarge høst", "2026"]
    assert propose_mapping(headings, []) == {
        0: "email",
        1: "extra.favorittfarge_host",
        3: "extra.e_mail",
        4: "extra.favorittfarge_host_2",
        5: "extra.field_2026",
    }


@pytest.mark.parametrize(
    "heading", ["Samtykke sporing", "Samtykkedato", "Consent source", "Tracking consent", "Ikke samtykke"]
)
def test_nothing_but_consent_to_e_marketing_passes_for_it(heading):
    assert propose_mapping([heading], [])[0].startswith("extra.")


def test_columns_without_headings_are_known_by_their_content():
    rows = [["k1", "Ola Moen", "o@x.example", "+47 912 34 567"], ["k2", "Kari Lie", "", "91234568"], ["p@x.example"]]
    assert propose_mapping([], rows) == {0: "extra.column_1", 1: "name", 2: "email", 3: "cellphone"}
    assert propose_mapping([], [["o@x.example"], ["k@x.example"]]) == {0: "email"}
    assert propose_mapping([], [["91234567"]]) == {0: "cellphone"}
    assert propose_mapping([], [["Ola"]]) == {0: "name"}
    assert propose_mapping([], []) == {}


def test_headings_are_found_below_titles_but_not_below_persons():
    def find(*rows):
        return find_headings([SheetRow(number, list(cells)) for number, cells in enumerate(rows, 1)])

    assert find(["Eksport", ""], [], ["Navn", "E-post"], ["Ola", "o@x.example"]) == 2
    assert find(["Eksportert av ola@x.example"], ["Navn", "E-post"]) == 1
    assert find(["Ola", "o@x.example"], ["Navn", "E-post"]) is None
    assert find(["Nimi", "Osoite", "Kaupunki"], ["Ola", "o@x.example", "Oslo"]) == 0
    assert find(["Ola", "Moen", "Oslo"], ["Kari", "Lie", "Bergen"]) is None
    assert find() is None


HEADINGS = ("Navn", "E-post", "Kode", "Kode")


def test_a_mapping_names_columns_by_heading_or_number():
    given = {"navn": "name", "2": "email", "3": "extra.code", "4": "ignore"}
    assert check_mapping(given, HEADINGS, width=4) == {0: "name", 1: "email", 2: "extra.code"}
    assert check_mapping({"1": "email"}, (), width=3) == {0: "email"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Mobil": "cellphone"}, "no column 'Mobil'. It has 'Navn', 'E-post'"),
        ({"5": "email"}, "no column '5'"),
        ({"Kode": "number"}, "by its number: 3, 4"),
        ({"Navn": "nickname"}, "'nickname' is not a field"),
        ({"Navn": "extra.Å"}, "is not a field"),
        ({"Navn": "subscription:"}, "is not a field"),
        ({"Navn": "email", "E-post": "email"}, "Two columns are mapped to email"),
        ({"Navn": "email", "1": "name"}, "mapped twice"),
        ({"Navn": "city"}, "who a row is about"),
        ({}, "who a row is about"),
    ],
)
def test_a_faulty_mapping_says_what_is_wrong(given, words):
    with pytest.raises(InvalidMapping) as refusal:
        check_mapping(given, HEADINGS, width=4)
    assert words in str(refusal.value)


def test_every_fault_of_a_mapping_is_named():
    with pytest.raises(InvalidMapping) as refusal:
        check_mapping({"Mobil": "cellphone", "Navn": "nickname"}, HEADINGS, width=4)
    assert len(refusal.value.problems) == 2
