"""Templates: reusable content."""

from datetime import datetime

from sqlmodel import Field

from app.platform.tables import Row, moment, reference


class Template(Row, table=True):
    """Content to begin a mailing from."""

    name: str
    folder_id: int | None = reference("folder.id", on_delete="SET NULL", nullable=True)
    subject: str = ""
    html: str = ""
    mjml: str | None = Field(
        default=None, description="the source the HTML was compiled from, if it was written in MJML"
    )
    text: str | None = Field(default=None, description="the text part; derived from the HTML when not written")
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    updated_at: datetime = moment(default_now=True)
