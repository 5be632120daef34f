"""The branding's row and its image."""

from typing import Any

from sqlalchemy import text
from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

from app.letterhead.models import BrandingLogo, StoredBranding
from app.platform.db import run

_BRANDING = text("""
    -- The branding with what is known of its logo, without octets: by primary keys, at most one row.
    SELECT b.*, l.content_type, l.width, l.height
    FROM branding AS b LEFT JOIN branding_logo AS l ON l.digest = b.logo
""")

_ENSURE = text("INSERT INTO branding (id) VALUES (1) ON CONFLICT DO NOTHING")


async def find_branding(session: AsyncSession) -> Any | None:
    """Return the branding's row with content_type, width and height of its logo; None before anything was chosen."""
    return (await run(session, _BRANDING)).one_or_none()


async def lock_branding(session: AsyncSession) -> StoredBranding:
    """Return the branding's row for a change; it is made if need be."""
    await run(session, _ENSURE)
    found = await session.get(StoredBranding, 1, with_for_update=True, populate_existing=True)
    if found is None:
        raise AssertionError("a row that was just made sure of is there")
    return found


async def find_logo(session: AsyncSession, *, digest: str) -> BrandingLogo | None:
    """Return an image with its octets, or None."""
    return await session.get(BrandingLogo, digest)


async def replace_logo(session: AsyncSession, *, logo: BrandingLogo | None) -> None:
    """Keep this image and no other."""
    await session.exec(delete(BrandingLogo).where(col(BrandingLogo.digest) != (logo.digest if logo else "")))
    if logo is not None:
        await session.merge(logo)
    await session.flush()
