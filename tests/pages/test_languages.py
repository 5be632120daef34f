"""Six languages, each complete, and the right one for the reader."""

import re
from pathlib import Path

import pytest

from app import pages
from app.pages.languages import CATALOGUES, LANGUAGES, choose_language
from app.pages.render import mask, render


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_values_in_it(language):
    english = CATALOGUES["en"]
    assert CATALOGUES[language].keys() == english.keys()
    for key, text in CATALOGUES[language].items():
        assert text.strip()
        assert set(re.findall(r"{\w*}", text)) == set(re.findall(r"{\w*}", english[key])), key


def test_every_text_a_template_asks_for_exists():
    templates = Path(pages.__file__).parent / "templates"
    asked = {key for file in templates.glob("*.html") for key in re.findall(r't\("([\w.]+\.\w+)"', file.read_text())}
    assert asked <= CATALOGUES["en"].keys()


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


@pytest.mark.parametrize(
    ("email", "masked"), [("kari@example.com", "k•••@example.com"), ("", "•••"), ("nonsense", "•••")]
)
def test_an_address_is_masked_before_its_domain(email, masked):
    assert mask(email) == masked


def test_values_cannot_reach_the_catalogue_or_the_markup():
    values = {"sender": "<script>", "is_test": False, "preferences": None, "address": "{type}"}
    page = render("unsubscribe.html", language="en", type="{address.__class__} <i>", **values)
    assert "<script>" not in page
    assert "{address.__class__} &lt;i&gt;" in page
