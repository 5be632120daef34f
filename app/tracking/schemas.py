"""What the API shows of tracked links."""

from pydantic import BaseModel, Field


class ClicksOut(BaseModel):
    """How often a link was clicked, by verdict (D45)."""

    human: int
    machine: int


class ClickersOut(BaseModel):
    """How many recipients clicked: humans, and those for whom only machines did."""

    human: int
    machine: int


class MailingLinkOut(BaseModel):
    """A tracked link of a mailing."""

    id: int
    position: int = Field(description="Where it stands in the message: 0 is the first tracked link")
    target: str = Field(description="Where it leads, as stored; it may hold merge tags")
    library_link_id: int | None = Field(description="The link of the library that it is one to; null: none, or deleted")
    honeypot: bool = Field(description="No person can see it: who follows it is a machine (D45)")
    clicks: ClicksOut
    clickers: ClickersOut
