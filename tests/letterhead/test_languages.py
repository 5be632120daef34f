"""Six languages, each complete, and the right one for the reader (D49)."""

from datetime import date
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from app.letterhead.catalogues import CATALOGUES, catalogue_file, translate
from app.letterhead.frame import Templates
from app.letterhead.gathering import untranslated, write_catalogues
from app.letterhead.languages import LANGUAGES, choose_language
from app.letterhead.looks import PLAIN


def test_the_catalogues_hold_exactly_the_texts_that_pages_show():
    """Run `budstikke catalogues` when this fails, and translate what is new."""
    assert write_catalogues(check=True) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_with_the_same_places_in_it(language):
    assert untranslated(language) == []


ALIKE = {"de": {"Newsletter", "Mailings"}, "nl": {"Mailings"}, "nb": {"Send"}, "da": {"Send"}}
"""Words that a language shares with English."""


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_no_translation_is_the_english_text_left_as_it_was(language):
    alike = ALIKE.get(language, set())
    with catalogue_file(language).open("rb") as file:
        same = {message.id for message in read_po(file) if message.id and message.id == message.string}
    assert same <= alike


def test_gathering_sees_a_text_without_translation_and_a_placeholder_that_is_lost(tmp_path, monkeypatch):
    broken = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "Save"\nmsgstr ""\n\n#, python-format\nmsgid "To %(name)s"\nmsgstr "Til %(navn)s"\n'
    )
    (tmp_path / "nb.po").write_text(broken, "utf-8")
    monkeypatch.setattr("app.letterhead.catalogues.LOCALE", tmp_path)
    assert untranslated("nb") == ["Save", "To %(name)s"]


@pytest.mark.parametrize(
    ("person", "header", "language"),
    [
        ("nb-NO", "de", "nb"),
        ("nn", "de", "nb"),
        ("no", None, "nb"),
        ("DE_at", None, "de"),
        ("fr", "sv;q=0.4, da;q=0.8, en;q=0.1", "da"),
        (None, "fr, nl-BE, en", "nl"),
        (None, "fr;q=1, de;q=0, *", "en"),
        (None, ";;;,q=,\x00, 12", "en"),
        ("", None, "en"),
        (None, "x," * 100_000, "en"),
    ],
)
def test_the_persons_language_goes_before_the_browsers_and_english_comes_last(person, header, language):
    assert choose_language(person=person, accept_language=header) == language


DAY = "For your protection, the link to your settings works for one day. "
DAYS = "For your protection, the link to your settings works for %(num)s days. "
FRESH = "We will gladly send a fresh one to %(address)s."


def test_dates_plurals_and_values_are_written_as_the_language_does(tmp_path):
    """Babel's work, seen through a template: nothing in a value is markup or a placeholder."""
    (tmp_path / "t.html").write_text(
        "{{ day|long_date }} {{ ngettext(days[0], days[1], num, address='x') }} "
        "{{ _('Unsubscribe from “%(type)s”?', type=type) }}",
        "utf-8",
    )
    templates = Templates(tmp_path)

    def shown(language, num=21):
        page = templates.page(
            "t.html",
            language=language,
            look=PLAIN,
            day=date(2026, 3, 1),
            type="<i>%(x)s{0}",
            num=num,
            days=[DAY + FRESH, DAYS + FRESH],
        )
        return page.body.decode()

    assert shown("de").startswith("1. März 2026 ")
    assert "gilt der Link zu Ihren Einstellungen 21 Tage." in shown("de")
    assert "gilt der Link zu Ihren Einstellungen einen Tag." in shown("de", num=1)
    assert "i én dag" in shown("nb", num=1)
    assert shown("de").endswith("Möchten Sie „&lt;i&gt;%(x)s{0}“ abbestellen?")
    assert shown("nb").startswith("1. mars 2026 ")
    assert shown("en").startswith("March 1, 2026 ")


def test_plain_texts_are_translated_too():
    assert translate("sv", "Save") == "Spara"
    assert CATALOGUES["nb"].gettext("Not in any catalogue") == "Not in any catalogue"


def test_the_catalogues_are_part_of_the_package():
    assert {path.stem for path in Path(catalogue_file("en")).parent.glob("*.po")} == set(LANGUAGES)
