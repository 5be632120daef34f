"""Email addresses, phone numbers and names as people type them, brought to one form for sending and comparing."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat, PhoneNumberType

NAME_LIMIT = 200
"""Characters of a name that are kept; longer ones are noise or an attack, and no column shows more."""

ADDRESS_LIMIT = 254
"""Octets of an address: RFC 5321 §4.5.3.1.3 allows a path of 256, of which two are the angle brackets."""


class InvalidEmail(ValueError):  # noqa: N818 - it reads as the verdict it is
    """The text is not an email address; `reason` is a sentence for the person who typed it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidPhone(ValueError):  # noqa: N818 - as above
    """The text is not a phone number; `reason` is a sentence for the person who typed it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Email:
    """An address in its three forms.

    `address` is what SMTP gets (the local part as typed, the domain as lower case A-label), `display` what a person
    reads (U-label), `key` what two equal addresses share: local part case-folded by our policy, A-label domain.
    """

    address: str
    display: str
    key: str

    @property
    def domain(self) -> str:
        """The A-label domain, for DNS and pacing."""
        return self.address.rpartition("@")[2]

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server that offers SMTPUTF8 can take it (RFC 6531); the local part cannot be downgraded."""
        return not self.address.isascii()


# What copying from a web page or a spreadsheet leaves around an address. Line ends are not among them: an address that
# carries one is an attempt at a header, never a slip of the hand.
_AROUND = " \t\u00a0\u200b\ufeff"
_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*", re.ASCII)
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def normalise_email(raw: str) -> Email:
    """Return the address in its forms, judged by syntax alone (deliverability is D55's question, asked elsewhere).

    Raises InvalidEmail. Reserved domains such as `.test` and `.example` pass; quoted local parts, bracketed IP
    addresses and display names do not (for the latter see `parse_mailbox`).
    """
    text = raw.strip(_AROUND)
    local, _, domain = text.rpartition("@")
    # email-validator takes 26 µs per address; nearly all real ones are plain, and their domains repeat.
    if len(local) <= 64 and len(text) <= ADDRESS_LIMIT and _PLAIN_LOCAL.fullmatch(local):
        known = _domain(domain)
        if known is not None:
            ascii_domain, shown = known
            address = f"{local}@{ascii_domain}"
            if len(address) <= ADDRESS_LIMIT:
                display = address if shown == ascii_domain else f"{local}@{shown}"
                return Email(address, display, address.lower())
    return validate(text)


def validate(text: str) -> Email:
    """Return what `normalise_email` returns for trimmed text, always by the full syntax check."""
    if fault := _plain_fault(text):
        raise InvalidEmail(fault)
    try:
        seen = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as refusal:
        raise InvalidEmail(f"{refusal} Write it as name@company.com.") from refusal
    # The original local part: the library lowers mailboxes such as Info@, but what was typed is what is sent.
    local = unicodedata.normalize("NFC", seen.original.rpartition("@")[0])
    if len(local.encode()) > 64:
        raise InvalidEmail("The part before the @-sign is too long: at most 64 octets are allowed (RFC 5321).")
    domain = seen.ascii_domain.lower()
    if "." not in domain:
        raise InvalidEmail("The part after the @-sign has no full stop: write the whole domain, such as company.com.")
    folded = unicodedata.normalize("NFC", local.casefold())
    return Email(f"{local}@{domain}", f"{local}@{seen.domain}", f"{folded}@{domain}")


def _plain_fault(text: str) -> str | None:
    """Name the commonest faults of real lists in our own words, with what would be right; None leaves the rest."""
    if not text:
        return "The address is empty: write it as name@company.com."
    if len(text) > ADDRESS_LIMIT:
        return f"The address is too long: at most {ADDRESS_LIMIT} octets are allowed (RFC 5321)."
    if not text.isprintable() and any(unicodedata.category(char) in _UNSEEN_CATEGORIES for char in text):
        return "The address has a line break or another invisible character in it: type it again, without them."
    if "@" not in text:
        return "The address has no @-sign: write it as name@company.com."
    if ".." in text:
        return "The address has two full stops in a row: leave one out."
    if text.endswith("."):
        return "The address ends with a full stop: leave it out."
    if " " in text and "<" not in text:
        return "The address has a space in it, or is more than one address: write one address, without spaces."
    return None


@lru_cache(maxsize=65_536)
def _domain(domain: str) -> tuple[str, str] | None:
    """Return A-label and U-label of a domain, or None where the full check has to find the words for its fault."""
    try:
        seen = validate(f"a@{domain}")
    except InvalidEmail:
        return None
    return seen.domain, seen.display.rpartition("@")[2]


_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")


def parse_mailbox(raw: str) -> tuple[str, Email]:
    """Return name (may be empty) and address of `"Name" <a@b>`, `Name <a@b>`, `<a@b>` or `a@b`.

    Raises InvalidEmail.
    """
    text = raw.strip(_AROUND)
    mailbox = _MAILBOX.fullmatch(text) if text.endswith(">") else None
    if mailbox is None:
        return "", normalise_email(text)
    name = mailbox["name"].strip()
    if len(name) >= 2 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return clean_name(name), normalise_email(mailbox["address"])


_BREAKS = frozenset("\t\n\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029")
_JOINERS = frozenset("\u200c\u200d")  # Persian, Indic scripts and family emoji are spelled with them


def clean_name(raw: str) -> str:
    """Return the name as one line of at most 200 characters: see `clean_text`."""
    return clean_text(raw, NAME_LIMIT)


def clean_text(raw: str, limit: int) -> str:
    """Return the text as one line in NFC, white space folded, at most `limit` characters.

    Line breaks and tabs become spaces; other control characters, bidi overrides, invisible marks and lone surrogates
    go, so that a value can never end a header or turn a line around (D12). HTML and formulas stay: they are text, and
    are escaped for where they land.
    """
    if len(raw) <= limit and is_clean(raw):
        return raw.strip()
    # The cut before the loop keeps a megabyte in one cell from being walked character by character.
    seen = unicodedata.normalize("NFC", "".join(_visible(char) for char in raw[: limit * 4]))
    return " ".join(seen.split())[:limit].strip(" \u200c\u200d")


def is_clean(text: str) -> bool:
    """Whether `clean_text` has nothing to do but to strip spaces at the ends and to cut."""
    return text.isprintable() and "  " not in text and (text.isascii() or unicodedata.is_normalized("NFC", text))


def _visible(char: str) -> str:
    if char in _BREAKS:
        return " "
    if char in _JOINERS or unicodedata.category(char) not in _UNSEEN_CATEGORIES:
        return char
    return ""


_NOT_DIALLED = str.maketrans("", "", " \u00a0\u202f\t-.()/\u2010\u2011\u2013")
_LETTER_AFTER_DIGIT = re.compile(r"\d.*[^\W\d_]")
_MOBILE_TYPES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})

# Countries whose mobile numbers take the fast way. Each is the main country of its calling code, so that the library,
# too, judges by its metadata first; the rest of the world goes the full way (23 µs).
_FAST_COUNTRIES = ("NO", "SE", "DK", "FI", "NL", "DE", "GB", "FR", "PL", "BE", "AT", "CH")


def normalise_phone(raw: str, default_country: str) -> str:
    """Return the number as E.164 (D70); `default_country` (ISO 3166 alpha-2) reads numbers without a country code.

    Raises InvalidPhone.
    """
    dialled = raw.replace(" ", "")
    if not dialled[1:].isdigit():
        dialled = dialled.translate(_NOT_DIALLED)
    if dialled.startswith("00") and default_country in _FAST_COUNTRIES:
        dialled = "+" + dialled[2:]
    if dialled.isascii():
        if dialled.startswith("+"):
            if _fast_mobile().fullmatch(dialled):
                return dialled
        elif dialled.isdigit() and default_country in _FAST_COUNTRIES:
            code, national = _fast_national(default_country)
            if plain := national.fullmatch(dialled):
                return f"+{code}{plain[1]}"
    return _parse_phone(raw, default_country)


def _parse_phone(raw: str, default_country: str) -> str:
    """Return E.164 the full way, by the library's parser and metadata."""
    if default_country not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidPhone(f"{default_country!r} is not a country: write its two letters, such as NO.")
    if _LETTER_AFTER_DIGIT.search(raw):
        raise InvalidPhone("The number has letters in it: write digits only, such as +47 912 34 567.")
    try:
        number = phonenumbers.parse(raw, default_country)
    except NumberParseException as refusal:
        raise InvalidPhone("This is not a phone number: write it as +47 912 34 567.") from refusal
    if not phonenumbers.is_valid_number(number):
        raise InvalidPhone(
            f"No such phone number exists in country code +{number.country_code}: "
            "check the digits, and begin foreign numbers with + and the country code.",
        )
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def is_mobile(e164: str) -> bool:
    """Whether the number (E.164) can take a text message, as far as its numbering plan tells (D70)."""
    if _fast_mobile().fullmatch(e164):
        return True
    try:
        return phonenumbers.number_type(phonenumbers.parse(e164, None)) in _MOBILE_TYPES
    except NumberParseException:
        return False


def _mobile_pattern(metadata: PhoneMetadata) -> str:
    """Match the country's national mobile numbers, less those that the library would first call something else."""
    earlier = (
        metadata.premium_rate,
        metadata.toll_free,
        metadata.shared_cost,
        metadata.voip,
        metadata.personal_number,
        metadata.pager,
        metadata.uan,
        metadata.voicemail,
    )
    patterns = (kind.national_number_pattern for kind in earlier if kind)
    others = "|".join(f"(?:{pattern})" for pattern in patterns if pattern)
    refused = f"(?!(?:{others})\\Z)" if others else ""
    return f"{refused}(?:{metadata.mobile.national_number_pattern})" if metadata.mobile else "(?!)"


@cache
def _fast_mobile() -> re.Pattern[str]:
    """Match E.164 mobile numbers of the fast countries. Built at first use: it loads twelve countries' metadata."""
    countries = (_metadata(country) for country in _FAST_COUNTRIES)
    numbers = "|".join(f"{it.country_code}{_mobile_pattern(it)}" for it in countries)
    return re.compile(rf"\+(?:{numbers})", re.ASCII)


@cache
def _fast_national(country: str) -> tuple[int, re.Pattern[str]]:
    """Return the calling code, and what mobile numbers look like inside the country (group 1: without the trunk 0)."""
    metadata = _metadata(country)
    trunk = f"(?:{metadata.national_prefix})?" if metadata.national_prefix == "0" else ""
    return metadata.country_code or 0, re.compile(f"{trunk}({_mobile_pattern(metadata)})", re.ASCII)


def _metadata(country: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region(country)
    if metadata is None:
        raise LookupError(f"phonenumbers has no metadata for {country}")
    return metadata
