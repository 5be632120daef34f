"""What a sender chose for the looks of the pages."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import moment


class StoredBranding(SQLModel, table=True):
    """The branding of the installation: at most one row. A colour that is null is ours."""

    __tablename__ = "branding"
    __table_args__ = (sa.CheckConstraint("id = 1", name="branding_is_one"),)

    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    sender_name: str = Field(default="", sa_column_kwargs={"server_default": ""})
    background_color: str | None = None
    text_color: str | None = None
    accent_color: str | None = None
    accent_text_color: str | None = None
    privacy_url: str | None = None
    logo: str | None = Field(default=None, description="digest of the image")
    version: int = Field(default=1, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "1"})
    updated_at: datetime = moment(default_now=True)


class BrandingLogo(SQLModel, table=True):
    """An image, named by the digest of its octets. The latest and no other."""

    __tablename__ = "branding_logo"

    digest: str = Field(primary_key=True)
    content_type: str
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    octets: bytes
