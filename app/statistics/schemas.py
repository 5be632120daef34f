"""What the API shows of how a mailing did."""

from pydantic import BaseModel, ConfigDict, Field

from app.recipients.schemas import ListCounts


class Judged(BaseModel):
    """A figure by verdict: humans first, and all together (D45)."""

    human: int
    machine: int
    total: int


class Rates(BaseModel):
    """Shares from 0 to 1, of humans; null where there is nothing to divide by."""

    delivered: float | None = Field(description="delivered / sent")
    open: float | None = Field(description="recipients who opened / delivered")
    click_through: float | None = Field(description="recipients who clicked / delivered")
    click_to_open: float | None = Field(description="recipients who clicked / recipients who opened")
    bounce: float | None = Field(description="bounced / sent")
    unsubscribe: float | None = Field(description="unsubscribed / delivered")
    complaint: float | None = Field(description="complained / delivered")


class Statistics(BaseModel):
    """How a mailing did (D62). Test messages and previews are never in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "mailing_id": 4,
                    "recipients": {
                        "total": 3, "by_status": {"sent": 2, "blocked": 1}, "blocked_by_reason": {"no_consent": 1},
                    },
                    "sent": 2, "delivered": 2, "bounced": {"hard": 0, "soft": 0}, "unsubscribed": 0, "complained": 0,
                    "openers": {"human": 1, "machine": 0, "total": 1},
                    "clickers": {"human": 1, "machine": 0, "total": 1},
                    "opens": {"human": 2, "machine": 0, "total": 2}, "clicks": {"human": 1, "machine": 0, "total": 1},
                    "rates": {
                        "delivered": 1.0, "open": 0.5, "click_through": 0.5, "click_to_open": 1.0, "bounce": 0.0,
                        "unsubscribe": 0.0, "complaint": 0.0,
                    },
                }
            ]
        }
    )  # fmt: skip

    mailing_id: int
    recipients: ListCounts
    sent: int = Field(description="Accepted by a receiving server, bounced later or not")
    delivered: int = Field(description="Sent and not bounced")
    bounced: dict[str, int] = Field(description="By kind: hard, soft")
    unsubscribed: int
    complained: int
    openers: Judged = Field(description="Recipients who opened; `machine`: only machines did")
    clickers: Judged = Field(description="Recipients who clicked; `machine`: only machines did")
    opens: Judged = Field(description="Every open")
    clicks: Judged = Field(description="Every click")
    rates: Rates
