"""Gathering the texts that pages show into the catalogues: what is new waits there for its translation."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from app.letterhead.catalogues import catalogue_file
from app.letterhead.languages import LANGUAGES

APP = Path(__file__).parent.parent
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "mark": None}
_COMMENTS = ("Translators:",)
_NOISE = ('"Generated-By:', '"Report-Msgid-Bugs-To:', '"POT-Creation-Date:', '"PO-Revision-Date:', '"Last-Translator:')
"""Headers of a catalogue that say nothing here, or another thing with each version of Babel."""


def gather() -> Catalog:
    """Return all texts of templates and of modules that import from here, without translations."""
    template = Catalog(project="budstikke", charset="utf-8")
    for path in _sources():
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        with path.open("rb") as file:
            for _, text, comments, context in extract(
                method, file, keywords=_KEYWORDS, comment_tags=_COMMENTS, options={"silent": "false"}
            ):
                where = path.relative_to(APP.parent).as_posix()
                template.add(text, None, [(where, 0)], auto_comments=comments, context=context)
    return template


def _sources() -> Iterator[Path]:
    """Only what can show pages: tokenising all modules would take seconds."""
    for path in sorted(APP.rglob("*.py")):
        if path.parent != APP and "app.letterhead" in path.read_text("utf-8"):
            yield path
    for slice_dir in sorted(APP.iterdir()):
        if any("app.letterhead" in path.read_text("utf-8") for path in slice_dir.glob("*.py")):
            yield from sorted((slice_dir / "templates").rglob("*.html"))


def catalogue_text(language: str, template: Catalog) -> str:
    """Return what a language's file is to be: the texts of today, with the translations they have."""
    with catalogue_file(language).open("rb") as file:
        catalogue = read_po(file, locale=language)
    catalogue.update(template, no_fuzzy_matching=True, update_creation_date=False)
    if language == "en":
        for message in catalogue:
            if message.id:
                message.string = message.id
    catalogue.fuzzy = False
    written = BytesIO()
    write_po(written, catalogue, width=110, include_lineno=False, ignore_obsolete=True, sort_by_file=True)
    lines = written.getvalue().decode("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_NOISE))


def write_catalogues(*, check: bool = False) -> list[str]:
    """Bring all catalogues up to date, or only look; return the languages whose files differ."""
    template = gather()
    stale = []
    for language in LANGUAGES:
        text = catalogue_text(language, template)
        if catalogue_file(language).read_text("utf-8") != text:
            stale.append(language)
            if not check:
                catalogue_file(language).write_text(text, "utf-8")
    return stale


def untranslated(language: str) -> list[str]:
    """Return the texts without a translation, and those whose placeholders are not the source's."""
    with catalogue_file(language).open("rb") as file:
        catalogue = read_po(file, locale=language)
    return [_name(message) for message in catalogue if message.id and (message.fuzzy or not _is_whole(message))] + [
        _name(message) for message, _ in catalogue.check()
    ]


def _is_whole(message: Message) -> bool:
    strings = message.string if isinstance(message.string, (list, tuple)) else [message.string]
    return all(text and text.strip() for text in strings)


def _name(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]
