"""What a search for an erased person needs until it is over."""

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class ErasureSearch(SQLModel, table=True):
    """The addresses that files are searched for after an erasure, sealed; gone with the search."""

    __tablename__ = "erasure_search"

    operation_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("operation.id", ondelete="CASCADE")]
    )
    sealed: bytes = Field(description="JSON list of addresses, see app.platform.sealed")
