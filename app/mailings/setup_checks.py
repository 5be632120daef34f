"""What is wrong, or could be better, with who a mailing is from (D5, D6, D26)."""

from collections.abc import Iterator

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content import headers
from app.domains.findings import Severity
from app.domains.models import SendingDomain, Verdict
from app.domains.names import domain_of
from app.domains.queries import page_of_domains
from app.domains.signing import is_signed
from app.mailings.models import Mailing, ReplyToRule
from app.mailings.schemas import Remark, problem, warning
from app.mailings.senders import contact_of


async def check_setup(session: AsyncSession, *, mailing: Mailing, require_approved: bool) -> list[Remark]:
    """Return what is to be said of a mailing's setup; `require_approved` makes the From domain a condition (D6)."""
    remarks = [*_sender(mailing), *_replies(mailing)]
    if domain := domain_of(mailing.from_email):
        found = await page_of_domains(session, domain=domain, approved=None, after=None, limit=1)
        remarks += _domain(domain, found[0] if found else None, require_approved=require_approved)
        if found and not await is_signed(session, domain=domain):
            detail = f"Mail from {domain} is not signed, which large receivers ask for: make it a DKIM key."
            remarks.append(warning("not_signed", detail))
    if mailing.override_consent:
        remarks.append(warning("consent_overridden", f"Consent is overridden: {mailing.override_reason}"))
    return remarks


def _sender(mailing: Mailing) -> Iterator[Remark]:
    contact = contact_of(mailing.from_rule)
    if not mailing.from_email:
        whom = f"recipients without a usable {contact} get it from" if contact else "the mailing is from"
        yield problem("no_sender", f"Give the address that {whom} (`from_email`).")
    elif not _can_be_sent(mailing.from_email):
        yield problem("bad_sender", f"No header can carry {mailing.from_email}: its part before the @ is not ASCII.")
    if not mailing.from_name:
        yield warning("no_sender_name", "Without `from_name` readers see the bare address.")


def _replies(mailing: Mailing) -> Iterator[Remark]:
    if mailing.reply_to and not _can_be_sent(mailing.reply_to):
        yield problem("bad_reply_to", f"No header can carry {mailing.reply_to}: its part before the @ is not ASCII.")
    elif mailing.reply_to_rule is ReplyToRule.ALWAYS and not mailing.reply_to:
        yield problem("no_reply_to", "Give the address that replies go to (`reply_to`), or let them go to the sender.")


def _can_be_sent(address: str) -> bool:
    try:
        headers.mailbox("From", "", address)
    except headers.UnsendableAddressError:
        return False
    return True


def _domain(domain: str, row: SendingDomain | None, *, require_approved: bool) -> Iterator[Remark]:
    unapproved = problem if require_approved else warning
    if row is None:
        detail = (
            f"{domain} is not among the sending domains: receivers may refuse its mail. Add it with a DKIM key, and "
            "have it checked."
        )
        yield unapproved("domain_not_listed", detail)
    elif not row.approved:
        why = f"its checks fail. {_errors(row)}" if row.verdict is Verdict.FAILING else "it has not been checked yet."
        yield unapproved("domain_not_approved", f"{domain} is not approved to send from: {why}".strip())
    elif row.verdict is Verdict.FAILING:
        detail = f"{domain} is trusted, but its checks fail: receivers may refuse its mail. {_errors(row)}"
        yield warning("domain_failing", detail.strip())


def _errors(domain: SendingDomain) -> str:
    """Return what its last checks found wrong, in their words."""
    return " ".join(found["detail"] for found in domain.findings if found["severity"] == Severity.ERROR)


def check_contacts(mailing: Mailing, *, without: dict[str, int], looked_at: str) -> Iterator[Remark]:
    """Tell how many recipients have no contact that can be used; `without` counts them by contact."""
    for what, rule, code in (
        ("from", mailing.from_rule, "sender_falls_back"),
        ("reply_to", mailing.reply_to_rule, "reply_to_falls_back"),
    ):
        contact = contact_of(rule)
        if contact and without.get(contact):
            instead = mailing.from_email if what == "from" else mailing.reply_to or "the sender"
            verb = "get it from" if what == "from" else "reply to"
            yield warning(
                code,
                f"{without[contact]} of {looked_at} have no {contact} with an address in an approved sending domain: "
                f"they {verb} {instead}.",
            )
