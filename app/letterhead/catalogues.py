"""The texts of the pages in each language: gettext catalogues, read as they are written (decision 28).

The English text is the key. `budstikke catalogues` gathers the texts from templates and code into `locale/*.po`;
translators write there, and the service reads the same files, so nothing compiled can be older than its source.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from app.letterhead.languages import LANGUAGES

LOCALE = Path(__file__).parent / "locale"


def mark(text: str) -> str:
    """Return a text as it is: so it is found by `budstikke catalogues`, and translated where it is shown."""
    return text


def catalogue_file(language: str) -> Path:
    """Return where a language's texts are."""
    return LOCALE / f"{language}.po"


def _read(language: str) -> Translations:
    compiled = BytesIO()
    with catalogue_file(language).open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


CATALOGUES: Mapping[str, Translations] = {language: _read(language) for language in LANGUAGES}


def translate(language: str, text: str, **filling: str) -> str:
    """Return a marked text in a language, with what its `%(name)s` stand for. For plain text: nothing is escaped."""
    return str(CATALOGUES[language].gettext(text)) % filling
