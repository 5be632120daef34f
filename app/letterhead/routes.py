"""`/v1/branding`: how the pages for recipients look; `/brand/…`: the logo, for everyone."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from app.letterhead import queries, service
from app.letterhead.colours import dark, light, pairs_of
from app.letterhead.errors import InvalidLogo, LogoNotFound, LogoTooLarge, LowContrast, NoLogo
from app.letterhead.looks import LOGO_PATH
from app.letterhead.schemas import BrandingOut, BrandingPatch, ContrastOut, LogoOut
from app.platform.auth import Admin, MailingsRead
from app.platform.errors import PreconditionFailed, TooLarge, declare
from app.platform.http import Session, check_match, etag, router
from app.platform.uploads import BrokenUpload, received_form

routes = router(prefix="/v1/branding", tag="branding")
public_routes = APIRouter(include_in_schema=False)

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "description": "PNG, JPEG or WebP, at most 256 KiB"}},
}


async def _shown(session: Session, request: Request, response: Response) -> BrandingOut:
    row = await queries.find_branding(session)
    branding = service.branding_of(row)
    chosen = branding.chosen
    day, night = light(chosen), dark(chosen)
    logo = None
    if row is not None and branding.logo is not None:
        url = f"{request.app.state.settings.public_url}{branding.logo.path}"
        logo = LogoOut(url=url, content_type=row.content_type, width=row.width, height=row.height)
    response.headers["ETag"] = etag(branding.version)
    return BrandingOut(
        sender_name=branding.name, background_color=day.paper, text_color=day.ink, accent_color=day.accent,
        accent_text_color=day.accent_ink,
        dark={
            "background_color": night.paper, "text_color": night.ink, "accent_color": night.accent,
            "accent_text_color": night.accent_ink,
        },
        contrast=[
            ContrastOut(front=pair.front, back=pair.back, ratio=int(pair.ratio * 100) / 100, needed=pair.needed)
            for pair in pairs_of(chosen)
        ],
        privacy_url=branding.privacy_url, logo=logo, updated_at=row.updated_at if row is not None else None,
    )  # fmt: skip


@routes.get("", operation_id="get_branding", responses=declare(), summary="Get the branding")
async def get_branding(caller: MailingsRead, session: Session, request: Request, response: Response) -> BrandingOut:
    """Return how the pages for recipients look: the colours in use, those of dark mode, and their contrast.

    Before anything was chosen it is ours. `ETag` can be sent back as `If-Match`.
    """
    return await _shown(session, request, response)


@routes.patch(
    "", operation_id="update_branding", responses=declare(LowContrast, PreconditionFailed),
    summary="Change the branding",
)  # fmt: skip
async def update_branding(
    caller: Admin, session: Session, request: Request, response: Response, body: BrandingPatch
) -> BrandingOut:
    """Change sender name, colours or privacy statement of the pages for recipients; null takes ours.

    Every process shows it within ten seconds. 422 when text could not be read on its background: it names the two
    colours, their contrast and the one that is needed. Colours of dark mode and all others follow by themselves.
    """
    branding = await queries.lock_branding(session)
    check_match(request, branding.version)
    await service.change(session, branding=branding, fields=body.model_dump(exclude_unset=True))
    return await _shown(session, request, response)


@routes.put(
    "/logo", operation_id="set_logo", summary="Set the logo",
    responses=declare(BrokenUpload, InvalidLogo, LogoTooLarge, NoLogo),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)  # fmt: skip
async def set_logo(caller: Admin, session: Session, request: Request, response: Response) -> BrandingOut:
    """Upload the logo (multipart/form-data): it takes the place of the sender name, which becomes its text.

    Pages fit it into 280 by 56 CSS pixels; in dark mode it stands on a light plate. 415: no PNG, JPEG or WebP, whatever
    its name is; 413: over 256 KiB, or over 4 000 pixels a side.
    """
    async with received_form(request, limit=service.LOGO_OCTETS, over=_over) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise InvalidLogo.field("#/file", "The form has no file in the field `file`.")
        octets = await upload.read()
    await service.set_logo(session, branding=await queries.lock_branding(session), octets=octets)
    return await _shown(session, request, response)


def _over(size: int | None) -> TooLarge:
    came = f" this one has {size}" if size else " this one has more"
    return LogoTooLarge(f"A logo has at most {service.LOGO_OCTETS} octets;{came}.")


@routes.delete(
    "/logo", operation_id="delete_logo", status_code=204, responses=declare(LogoNotFound), summary="Remove the logo"
)
async def delete_logo(caller: Admin, session: Session) -> None:
    """Do without a logo: pages show the sender's name again. 404 when there is none."""
    await service.remove_logo(session, branding=await queries.lock_branding(session))


@public_routes.api_route(LOGO_PATH + "{name}", methods=["GET", "HEAD"])
async def show_logo(request: Request, name: str) -> Response:
    """Return the logo. Its name changes with its octets, so browsers keep it for good."""
    digest = name.partition(".")[0]
    async with request.app.state.database.begin() as session:
        logo = await queries.find_logo(session, digest=digest) if digest.isalnum() else None
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",  # messages may show it
        "Referrer-Policy": "no-referrer",
    }
    if logo is None:
        return Response(status_code=404, headers={**headers, "Cache-Control": "no-store"})
    headers |= {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{digest}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(logo.octets, media_type=logo.content_type, headers=headers)
