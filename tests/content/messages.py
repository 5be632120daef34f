"""Factories for messages under test."""

import email
import email.policy

from app.content.attached import Base64Lines
from app.content.compiled import RecipientData
from app.content.compiler import MessageSource, compile_message

PUBLIC_URL = "https://m.example.com"


def source(html="<p>Hi</p>", **changes):
    fields = {"subject": "News", "text": None, "from_name": "Sender", "from_email": "sender@example.com"}
    return MessageSource(html=html, **(fields | changes))


def compiled(html="<p>Hi</p>", **changes):
    return compile_message(source(html, **changes), public_url=PUBLIC_URL)


def token(number):
    """32 characters that show which token they are."""
    return f"{number:_>4}" + "-token-ABCabc0123456789_-_-XY"[:28]


def recipient(message, values=None, **changes):
    fields = {
        "values": values or {},
        "to_name": "Kari",
        "to_email": "kari@example.com",
        "message_id": "<1@m.example.com>",
        "date": "Mon, 05 Jan 2026 10:00:00 +0100",
        "tokens": [token(number) for number in range(len(message.token_slots))],
    }
    return RecipientData(**(fields | changes))


def parsed(rendered):
    return email.message_from_bytes(rendered, policy=email.policy.default)


def whole(message, data, files, **allowed):
    """The message with its tail, the octets of each file by its key."""
    tail = b""
    for item in message.tail:
        if isinstance(item, str):
            tail += item.encode("ascii")
        else:
            lines = Base64Lines()
            tail += lines.feed(files[item.key]) + lines.end()
    return message.render(data, **allowed) + tail
