"""Folders."""

from enum import StrEnum

import sqlalchemy as sa

from app.platform.tables import Row, choice, reference


class FolderKind(StrEnum):
    """What a folder holds; each kind has a tree of its own."""

    MAILING = "mailing"
    TEMPLATE = "template"
    LINK = "link"
    FORM = "form"
    SELECTION = "selection"
    PROJECT = "project"


class Folder(Row, table=True):
    """A folder in the tree of its kind; names are unique beside each other."""

    __table_args__ = (
        sa.Index(
            "folder_name_key",
            "kind",
            "parent_id",
            sa.text("lower(name)"),
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    kind: FolderKind = choice(FolderKind, name="kind")
    name: str
    parent_id: int | None = reference("folder.id", on_delete="RESTRICT", nullable=True)
