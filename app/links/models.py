"""The link library."""

from datetime import datetime

from sqlmodel import Field

from app.platform.tables import Row, moment, reference


class LibraryLink(Row, table=True):
    """A link of the library. `target` is kept as it was given, merge tags and all."""

    __tablename__ = "library_link"

    name: str
    description: str = Field(default="", sa_column_kwargs={"server_default": ""})
    folder_id: int | None = reference("folder.id", on_delete="SET NULL", nullable=True)
    target: str
    target_key: str = Field(index=True, description="what a link of a mailing with this very target is found by")
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    updated_at: datetime = moment(default_now=True)
