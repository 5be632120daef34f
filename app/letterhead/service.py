"""Reading and changing the branding."""

import asyncio
from hashlib import sha256
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.letterhead import queries
from app.letterhead.colours import Chosen, pairs_of
from app.letterhead.errors import InvalidLogo, LogoNotFound, LogoTooLarge, LowContrast, NoLogo
from app.letterhead.images import read_image
from app.letterhead.looks import LOGO_PATH, MOST_SECONDS, Branding, Logo, Looks
from app.letterhead.models import BrandingLogo, StoredBranding
from app.platform.clock import now
from app.platform.db import DATABASE_AWAY, Database
from app.platform.errors import InvalidField
from app.platform.telemetry import log

LOGO_OCTETS = 256 * 1024  # a reader on a phone waits for it
LOGO_PIXELS = 4000  # a side; far more than any screen shows it with
LOAD_WITHIN = 3.0  # seconds that starting waits for the branding
_SHOWN_HEIGHT, _SHOWN_WIDTH = 56, 280  # CSS pixels a logo is fitted into


def branding_of(row: Any | None) -> Branding:
    """Return what was chosen, by a row of `queries.find_branding`."""
    if row is None:
        return Branding()
    logo = None
    if row.logo is not None and row.content_type is not None:
        scale = min(1.0, _SHOWN_HEIGHT / row.height, _SHOWN_WIDTH / row.width)
        suffix = row.content_type.partition("/")[2].replace("jpeg", "jpg")
        width, height = (max(1, round(side * scale)) for side in (row.width, row.height))
        logo = Logo(f"{LOGO_PATH}{row.logo}.{suffix}", width, height)
    return Branding(row.version, row.sender_name, chosen_of(row), logo, row.privacy_url)


def chosen_of(row: Any) -> Chosen:
    """Return the colours of a row, ours where none was chosen."""
    ours = Chosen()
    return Chosen(
        background=row.background_color or ours.background, text=row.text_color or ours.text,
        accent=row.accent_color or ours.accent, accent_text=row.accent_text_color,
    )  # fmt: skip


async def refresh(session: AsyncSession, *, looks: Looks) -> None:
    """Bring what is known in memory of the branding up to date, if it is time to."""
    if looks.is_due:
        looks.take(branding_of(await queries.find_branding(session)))


async def load_looks(database: Database, *, looks: Looks) -> None:
    """Read the branding when the process starts; a database that is away leaves it for later."""
    try:
        async with asyncio.timeout(LOAD_WITHIN), database.begin() as session:
            await refresh(session, looks=looks)
    except DATABASE_AWAY as error:
        log.warning("branding.not_read", kind=type(error).__name__)


async def keep_looks(database: Database, *, looks: Looks) -> None:
    """Follow the branding for as long as the process runs: clicks' pages have no database at hand to ask."""
    while True:
        await asyncio.sleep(MOST_SECONDS)
        await load_looks(database, looks=looks)


async def change(session: AsyncSession, *, branding: StoredBranding, fields: dict[str, Any]) -> None:
    """Change a locked branding; raises LowContrast, which says which colours and what would do."""
    branding.sqlmodel_update({**fields, "sender_name": fields.get("sender_name", branding.sender_name) or ""})
    _check_contrast(chosen_of(branding), set(fields))
    _touch(branding)
    await session.flush()


def _check_contrast(chosen: Chosen, fields: set[str]) -> None:
    faults = []
    for pair in pairs_of(chosen):
        if pair.is_enough:
            continue
        blamed = next((field for field in (pair.front, pair.back) if field in fields), pair.front)
        faults.append(
            InvalidField(
                pointer=f"#/{blamed}",
                detail=f"{pair.front} on {pair.back} has a contrast of {_floored(pair.ratio)}:1; text needs "
                f"{pair.needed}:1. Take one of them darker or lighter.",
            )
        )
    if faults:
        raise LowContrast(" ".join(fault.detail for fault in faults), errors=faults)


def _floored(ratio: float) -> float:
    return int(ratio * 100) / 100


def _touch(branding: StoredBranding) -> None:
    branding.version += 1
    branding.updated_at = now()


async def set_logo(session: AsyncSession, *, branding: StoredBranding, octets: bytes) -> None:
    """Take an image as the logo of a locked branding; raises NoLogo, InvalidLogo, LogoTooLarge."""
    if not octets:
        raise InvalidLogo.field("#/file", "The file is empty.")
    image = read_image(octets)
    if image is None:
        raise NoLogo("A logo is a PNG, JPEG or WebP; SVG is not taken, since it may hold scripts: export it as PNG.")
    if max(image.width, image.height) > LOGO_PIXELS:
        raise LogoTooLarge(
            f"The image has {image.width} by {image.height} pixels; at most {LOGO_PIXELS} a side are taken, and "
            f"{_SHOWN_WIDTH * 2} by {_SHOWN_HEIGHT * 2} are as sharp as screens show it."
        )
    digest = sha256(octets).hexdigest()[:32]
    logo = BrandingLogo(
        digest=digest, content_type=image.content_type, width=image.width, height=image.height, octets=octets
    )
    await queries.replace_logo(session, logo=logo)
    branding.logo = digest
    _touch(branding)
    await session.flush()


async def remove_logo(session: AsyncSession, *, branding: StoredBranding) -> None:
    """Do without a logo; raises LogoNotFound."""
    if branding.logo is None:
        raise LogoNotFound("The branding has no logo.")
    branding.logo = None
    _touch(branding)
    await queries.replace_logo(session, logo=None)
