"""What the API takes and shows of attachments."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.mailings.models import Attachment

FileName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
# What RFC 2392 lets stand in a `cid:` address without escaping, so that both are written the same way.
ContentId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+\-]*(@[A-Za-z0-9.\-]+)?$", max_length=100)
]

_CONTENT_ID = 'Names an inline image: `<img src="cid:logo.png">` shows the one with `logo.png`'


class AttachmentFields(BaseModel):
    """The fields of the upload form beside the file."""

    model_config = ConfigDict(extra="forbid")

    name: FileName | None = Field(default=None, description="The name readers see; default: the file's own")
    inline: bool = Field(default=False, description="An image that the HTML shows by `cid:`")
    content_id: ContentId | None = Field(default=None, description=f"{_CONTENT_ID}; default: made from the name")


class AttachmentPatch(BaseModel):
    """Changes to an attachment (JSON merge patch): what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "Programme.pdf"}, {"inline": True, "content_id": "logo"}]},
    )

    name: FileName = "-"
    inline: bool = Field(default=False, description="false takes the content id away")
    content_id: ContentId | None = Field(default=None, description=_CONTENT_ID)


class AttachmentOut(BaseModel):
    """A file that is sent along with a mailing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 3, "name": "Programme.pdf", "content_type": "application/pdf", "size": 482113,
                    "inline": False, "content_id": None, "created_at": "2026-11-24T09:30:00Z",
                }
            ]
        }
    )  # fmt: skip

    id: int
    name: str
    content_type: str = Field(description="Found out from name and octets")
    size: int = Field(description="Octets; on their way they take 37 % more")
    inline: bool
    content_id: str | None
    created_at: datetime


def shown(attachment: Attachment) -> AttachmentOut:
    """Return an attachment as the API shows it."""
    return AttachmentOut(**attachment.model_dump(), inline=attachment.content_id is not None)
