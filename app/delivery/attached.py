"""The tail of a mailing's messages: its attachments, read and encoded once per sender (D16; decision 19)."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.attached import Base64Lines, Tail
from app.platform.files import stored_pieces

BODIES_IN_MEMORY = 128 << 20
"""Octets that encrypted connections of one sender may hold of its messages together."""


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


def affordable(connections: int, *, tail: int, encrypted: bool) -> int:
    """Return how many of `connections` a sender may open for messages that end with a tail of so many octets.

    Plain connections hand the one tail to the kernel: 20 of them, at 20 MB each, take nothing more. TLS makes a copy
    for each, and one more on its way to the socket: 853 MB for the same 20.
    """
    return max(1, min(connections, BODIES_IN_MEMORY // (2 * tail))) if tail and encrypted else connections
