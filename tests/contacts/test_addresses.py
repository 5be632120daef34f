import csv
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from app.contacts import addresses
from app.contacts.addresses import (
    InvalidEmail,
    InvalidPhone,
    clean_name,
    is_mobile,
    normalise_email,
    normalise_phone,
    parse_mailbox,
)

DATA = Path(__file__).parents[1] / "data"


def outcome(read, *arguments):
    try:
        return read(*arguments)
    except (InvalidEmail, InvalidPhone) as refusal:
        return refusal.reason


def full_way(raw):
    return addresses.validate(raw.strip(addresses._AROUND))


@pytest.fixture(scope="module")
def corpus():
    with (DATA / "persons-2000.csv").open(encoding="cp1252", newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))[1:]
    rows += CalamineWorkbook.from_path(DATA / "contacts-5000.xlsx").get_sheet_by_index(0).to_python()[3:]
    return rows


def test_the_fast_way_equals_the_full_way_for_every_address_of_the_test_data(corpus):
    assert len(corpus) == 7000
    for raw in {str(row[3]) for row in corpus}:
        assert outcome(normalise_email, raw) == outcome(full_way, raw), raw


LOCAL = st.text(st.sampled_from("abZ09._+-'!é ø\u0301\"<>\r\n\x00"), max_size=70)
DOMAIN = st.text(st.sampled_from("abZ0.-ßøÜ _\u200b。"), max_size=40)
DOMAIN_ENDS = st.sampled_from(["", ".example", ".TEST", ".no", ".local", ".c0m", "."])


@given(st.builds(lambda local, domain, end: f"{local}@{domain}{end}", LOCAL, DOMAIN, DOMAIN_ENDS))
def test_the_fast_way_equals_the_full_way_for_any_text(raw):
    assert outcome(normalise_email, raw) == outcome(full_way, raw)


@given(st.emails())
def test_the_fast_way_equals_the_full_way_for_generated_addresses(raw):
    assert outcome(normalise_email, raw) == outcome(full_way, raw)


@given(st.emails())
def test_normalising_twice_changes_nothing(raw):
    once = outcome(normalise_email, raw)
    if not isinstance(once, str):
        assert normalise_email(once.address) == once


def test_an_address_has_a_form_to_send_one_to_show_and_one_to_compare():
    email = normalise_email("\u00a0 Kari.Moen@MÜLLER-Söhne.Example \t")
    assert email.domain == "xn--mller-shne-kcb9d.example"
    assert email.address == f"Kari.Moen@{email.domain}"
    assert email.display == "Kari.Moen@müller-söhne.example"
    assert email.key == f"kari.moen@{email.domain}"
    assert normalise_email("kari.MOEN@" + email.domain.upper()).key == email.key


def test_a_role_address_is_sent_as_typed():
    assert normalise_email("Info@x.example").address == "Info@x.example"


def test_a_local_part_beyond_ascii_is_taken_and_flagged():
    email = normalise_email("jo\u0308rg@x.example")
    assert email.address == "jörg@x.example"
    assert email.needs_smtputf8
    assert not normalise_email("jorg@müller.example").needs_smtputf8


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "empty"),
        ("ola.example.com", "no @-sign"),
        ("ola@localhost", "full stop|period"),
        ("ola..moen@x.example", "two full stops"),
        ("ola@x.example.", "ends with a full stop"),
        ("ola@x.example\r\nBcc: y@z.example", "invisible"),
        ("ola@x.example\n", "invisible"),
        ("o\x00la@x.example", "invisible"),
        ("ola\u202e@x.example", "invisible"),
        ("ola nordmann@x.example", "space"),
        ("a@x.example, b@y.example", "space"),
        ("Ola <ola@x.example>", "display name"),
        ("ola@[127.0.0.1]", "bracketed"),
        ('"ola"@x.example', "Quoting"),
        ("a" * 65 + "@x.example", "too long"),
        ("ø" * 33 + "@x.example", "too long"),
        ("a@" + ("b" * 60 + ".") * 4 + "b.example", "too long"),
        ("a@" + "b" * 64 + ".example", "."),
        ("@x.example", "before the @-sign"),
        ("ola@", "after the @-sign"),
        ("ola@server.local", "special-use"),
    ],
)
def test_a_refused_address_says_what_is_wrong(raw, words):
    with pytest.raises(InvalidEmail, match=words) as refusal:
        normalise_email(raw)
    assert refusal.value.reason.endswith(".")


def test_an_address_of_254_octets_is_the_longest():
    domain = ".".join(["b" * 45] * 4) + ".example"
    longest = "a" * (253 - len(domain)) + "@" + domain
    assert len(longest) == 254
    assert normalise_email(longest).address == longest
    with pytest.raises(InvalidEmail, match="too long"):
        normalise_email("a" + longest)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ('"Moen, Kari" <kari@x.example>', "Moen, Kari"),
        ('"Kari \\"K\\" Moen"<kari@x.example>', 'Kari "K" Moen'),
        ("André <kari@x.example> ", "André"),
        ("<kari@x.example>", ""),
        ("kari@x.example", ""),
        ("Kari\r\nBcc: <kari@x.example>", "Kari Bcc:"),
    ],
)
def test_a_mailbox_is_a_name_and_an_address(raw, name):
    assert parse_mailbox(raw) == (name, normalise_email("kari@x.example"))


@pytest.mark.parametrize("raw", ["Kari <kari>", "Kari <a@x.example> <b@x.example>", "Kari kari@x.example>", "<>"])
def test_a_mailbox_without_one_address_is_refused(raw):
    with pytest.raises(InvalidEmail):
        parse_mailbox(raw)


@pytest.mark.parametrize(
    ("raw", "country", "number"),
    [
        ("99268506", "NO", "+4799268506"),
        ("+47 96280232", "SE", "+4796280232"),
        ("0047 94668037", "NO", "+4794668037"),
        ("4796280232", "NO", "+4796280232"),
        ("070-5936480", "SE", "+46705936480"),
        ("+44 (0)7434 963264", "NO", "+447434963264"),
        ("Mob: 912 34 567", "NO", "+4791234567"),
        ("22 00 00 00", "NO", "+4722000000"),
        ("+1 212-555-2368", "NO", "+12125552368"),
    ],
)
def test_a_number_becomes_e164(raw, country, number):
    assert normalise_phone(raw, country) == number


@pytest.mark.parametrize(
    "raw", ["12345", "", "kari", "9123 hjem", "+47 912", "+999 12345678", "1" * 300, "+46705936480x9"]
)
def test_a_refused_number_says_what_is_wrong(raw):
    with pytest.raises(InvalidPhone) as refusal:
        normalise_phone(raw, "NO")
    assert refusal.value.reason.endswith(".")


def test_an_unknown_country_is_named():
    with pytest.raises(InvalidPhone, match="'XX' is not a country"):
        normalise_phone("91234567", "XX")


def test_the_fast_way_equals_the_full_way_for_every_number_of_the_test_data(corpus):
    for raw in {str(row[4]) for row in corpus}:
        assert outcome(normalise_phone, raw, "NO") == outcome(addresses._parse_phone, raw, "NO"), raw


PREFIXES = st.sampled_from(["", "0", "00", "+"])
CODES = st.sampled_from(
    ["", "47", "46", "45", "358", "31", "49", "44", "33", "48", "32", "43", "41", "4", "7", "15", "9"]
)
DIGITS = st.from_regex(r"[0-9][0-9 ()./-]{4,13}", fullmatch=True)


@given(
    st.builds("".join, st.tuples(PREFIXES, CODES, DIGITS)), st.sampled_from((*addresses._FAST_COUNTRIES, "US", "IT"))
)
def test_the_fast_way_equals_the_full_way_for_any_number(raw, country):
    assert outcome(normalise_phone, raw, country) == outcome(addresses._parse_phone, raw, country)


@pytest.mark.parametrize(
    ("number", "mobile"),
    [
        ("+4799268506", True),
        ("+4722000000", False),
        ("+12125552368", True),
        ("+46812345678", False),
        ("nonsense", False),
    ],
)
def test_only_mobile_capable_numbers_take_text_messages(number, mobile):
    assert is_mobile(number) is mobile


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Rasmussen\r\nBcc: x@evil.example", "Rasmussen Bcc: x@evil.example"),
        ("  Kari \t Moen ", "Kari Moen"),
        ("Ka\x00ri\x1b", "Kari"),
        ("ab\u202ecd\u2066ef\u200b", "abcdef"),
        ("A\u030ase", "Åse"),
        ("می\u200cرم", "می\u200cرم"),
        ("<b>Ruud</b>", "<b>Ruud</b>"),
        ('=HYPERLINK("http://evil.example")', '=HYPERLINK("http://evil.example")'),
        ("a\u2028b", "a b"),
        ("x" * 300, "x" * 200),
        ("\u200d", ""),
        ("\ud800a", "a"),
    ],
)
def test_a_name_is_one_visible_line(raw, name):
    assert clean_name(raw) == name


@given(st.text())
def test_a_cleaned_name_is_clean(raw):
    name = clean_name(raw)
    assert clean_name(name) == name
    assert len(name) <= 200
    assert unicodedata.is_normalized("NFC", name)
    assert not re.search(r"[\r\n\x00\u2028\u202a-\u202e]|  ", name)
    name.encode()
