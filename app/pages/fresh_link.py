"""The message that brings a fresh link to the preferences, when somebody asked for one (D46)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from app.content import headers
from app.letterhead.catalogues import mark, translate
from app.letterhead.frame import Templates, long_date
from app.letterhead.languages import choose_language
from app.letterhead.looks import Look
from app.pages.service import Visitor
from app.platform.settings import Settings
from app.platform.tokens import Purpose, TokenKey

_TEMPLATES = Templates(Path(__file__).parent / "templates")

SUBJECT = mark("Your link to your settings")
ASKED = mark("You asked for a fresh link to what you receive from us. It works until %(date)s.")
NOT_ASKED = mark("If you did not ask for it, you need not do anything: nothing has changed.")


@dataclass(frozen=True, slots=True)
class LinkMessage:
    """A message ready for DATA, with CRLF, and whose domain it is from."""

    content: bytes
    recipient: str


def compose(visitor: Visitor, *, settings: Settings, tokens: TokenKey, look: Look, at: datetime) -> LinkMessage:
    """Return the message with a link that works for `preferences_days` from `at`; raises UnsendableError."""
    language = choose_language(person=visitor.language, accept_language=None)
    issued = int(at.timestamp())
    url = f"{settings.public_url}/p/{tokens.make(Purpose.PREFERENCES, visitor.recipient_id, issued)}"
    until = long_date(language, (at + timedelta(days=settings.preferences_days)).date())
    sender = look.name or visitor.sender
    paragraphs = [translate(language, ASKED, date=until), url, translate(language, NOT_ASKED), sender]
    body = EmailMessage(policy=policy.SMTP)
    body.set_content("\n\n".join(filter(None, paragraphs)) + "\n", cte="quoted-printable")
    html = _TEMPLATES.text(
        "fresh_link.html", language=language, look=look, sender=sender, url=url, asked=paragraphs[0],
        not_asked=paragraphs[2], title=translate(language, SUBJECT),
    )  # fmt: skip
    body.add_alternative(html, subtype="html", cte="quoted-printable")
    head = "".join(
        (
            headers.mailbox("From", visitor.sender, visitor.sender_email),
            headers.mailbox("To", "", visitor.email),
            headers.text("Subject", translate(language, SUBJECT)),
            f"Date: {formatdate(at.timestamp())}\r\n",
            f"Message-ID: {make_msgid(domain=settings.public_host)}\r\n",
            "Auto-Submitted: auto-replied\r\n",  # RFC 3834: nobody's absence answers it
        )
    )
    return LinkMessage(head.encode("ascii") + body.as_bytes(), visitor.email)
