"""What the API takes and shows of the branding."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.contacts.addresses import clean_text

_EXAMPLE: dict[str, Any] = {
    "sender_name": "Nordavind",
    "accent_color": "#1d5b4b",
    "privacy_url": "https://www.example.com/privacy",
}
_LOGO: dict[str, Any] = {
    "url": "https://news.example.com/brand/3f9a1c20d4e5b6a7.png",
    "content_type": "image/png",
    "width": 480,
    "height": 120,
}


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or " " in url:
        raise ValueError("give an address that begins with https://, such as https://www.example.com/privacy")
    return url


def _clean(name: str) -> str:
    return clean_text(name, 100)


Colour = Annotated[
    str,
    StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$", to_lower=True),
    Field(description="`#rrggbb`; null: ours", examples=["#1d5b4b"]),
]
Address = Annotated[str, StringConstraints(max_length=500, pattern=r"^[!-~]+$"), AfterValidator(_https)]


class BrandingPatch(BaseModel):
    """Changes to the branding (JSON merge patch): what is left out stays, null takes ours."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    sender_name: Annotated[str, StringConstraints(max_length=100), AfterValidator(_clean)] | None = Field(
        default=None, description="Atop every page, and what the logo says; null: the name each mailing is from"
    )
    background_color: Colour | None = None
    text_color: Colour | None = None
    accent_color: Colour | None = None
    accent_text_color: Colour | None = None
    privacy_url: Address | None = Field(default=None, description="The privacy statement, linked below every page")


class LogoOut(BaseModel):
    """The logo as pages show it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LOGO]})

    url: str
    content_type: str
    width: int = Field(description="Pixels of the image")
    height: int = Field(description="Pixels of the image")


class ContrastOut(BaseModel):
    """Two colours that pages show on each other, and their contrast (WCAG 2.2)."""

    front: str = Field(description="The field of the colour in front")
    back: str = Field(description="The field of the colour behind")
    ratio: float = Field(description="1 to 21, rounded down")
    needed: float


class BrandingOut(BaseModel):
    """The branding: what was chosen, and the colours in use."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sender_name": "Nordavind",
                    "background_color": "#fbfaf6",
                    "text_color": "#1c2522",
                    "accent_color": "#1d5b4b",
                    "accent_text_color": "#ffffff",
                    "dark": {"background_color": "#191816", "text_color": "#e3eae7", "accent_color": "#90cdb9",
                             "accent_text_color": "#061a14"},
                    "contrast": [{"front": "text_color", "back": "background_color", "ratio": 15.0, "needed": 4.5}],
                    "privacy_url": "https://www.example.com/privacy",
                    "logo": _LOGO,
                    "updated_at": "2026-11-25T02:00:00Z",
                }
            ]
        }
    )  # fmt: skip

    sender_name: str
    background_color: str
    text_color: str
    accent_color: str
    accent_text_color: str
    dark: dict[str, str] = Field(description="The same colours in dark mode, derived")
    contrast: list[ContrastOut]
    privacy_url: str | None
    logo: LogoOut | None
    updated_at: datetime | None
