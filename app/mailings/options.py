"""Which options of the list a mailing may have (D22)."""

from collections.abc import Collection, Mapping

from app.mailings.models import Mailing, MailingType
from app.platform.errors import Invalid, InvalidField

_COMPANIES = ("include_companies", "prefer_company")
_ADDRESSES = ("one_per_address", "update_list_when_sending")

REFUSED: Mapping[MailingType, Collection[str]] = {
    MailingType.EMAIL: (),
    MailingType.SMS: _COMPANIES,
    MailingType.DOCUMENT: _ADDRESSES,
    MailingType.FORM_RESPONSE: (*_COMPANIES, *_ADDRESSES),
}
"""Options that a type does not have. A form response has no list: it goes to whoever submits the form (D3)."""


def check_options(mailing: Mailing, *, changed: Collection[str]) -> None:
    """Raise Invalid with a pointer at each option that is set and does not fit; `changed` are the fields just given."""
    refused = REFUSED[mailing.type]
    wrong = [name for name in refused if getattr(mailing, name)]
    found = [InvalidField(pointer=f"#/{name}", detail=_refusal(mailing, name)) for name in wrong]
    if mailing.prefer_company and not mailing.include_companies and "prefer_company" not in refused:
        pointer = "#/prefer_company" if "prefer_company" in changed else "#/include_companies"
        detail = "prefer_company needs include_companies: set both, or neither (D22)."
        found.append(InvalidField(pointer=pointer, detail=detail))
    if found:
        raise Invalid(" ".join(error.detail for error in found), errors=found)


def _refusal(mailing: Mailing, name: str) -> str:
    allowed = [kind.value for kind in MailingType if name not in REFUSED[kind]]
    return f"{name} is not for {mailing.type.value} mailings; {' and '.join(allowed)} mailings have it (D22)."
