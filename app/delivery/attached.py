"""The tail of a mailing's messages: its attachments, read and encoded once per sender (D16).

Measured with 14 MB of attachments and 20 connections (tests/bench/attachments.py): see decision record.
"""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.attached import Base64Lines, Tail
from app.platform.files import stored_pieces

BODIES_IN_MEMORY = 128 << 20
"""Octets that the bodies of one sender's connections may take together.

Plain connections share the tail; TLS encrypts a copy of it for each, which OpenSSL holds as a whole.
"""


async def make_tail(session: AsyncSession, tail: Tail) -> bytes:
    """Return a message's tail as it is sent. Raises ValueError if a file is not what it was when it was compiled."""
    parts: list[bytes] = []
    for item in tail:
        if isinstance(item, str):
            parts.append(item.encode("ascii"))
            continue
        lines, size = Base64Lines(), 0
        async for piece in stored_pieces(session, file_id=item.key):
            size += len(piece)
            parts.append(lines.feed(piece))
        parts.append(lines.end())
        if size != item.size:
            raise ValueError(f"the stored file {item.key} has {size} octets, not {item.size}")
    return b"".join(parts)


def affordable(connections: int, *, tail: int) -> int:
    """Return how many of `connections` a sender may open for messages that end with a tail of so many octets."""
    return max(1, min(connections, BODIES_IN_MEMORY // (2 * tail))) if tail else connections
