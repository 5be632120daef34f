"""What the API shows of bounces."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from app.bounces.models import BounceKind, BounceOrigin


class BounceOut(BaseModel):
    """An undelivered message."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 7,
                    "recipient_id": 4711,
                    "email": "ola@example.com",
                    "kind": "hard",
                    "origin": "dsn",
                    "status": "5.1.1",
                    "detail": "550 5.1.1 User unknown",
                    "created_at": "2026-11-23T08:30:00Z",
                }
            ]
        }
    )

    id: int
    recipient_id: int
    email: str | None = Field(description="The recipient's address; null when the recipient is gone")
    kind: BounceKind = Field(description="`hard`: the address is dead and blocked; `soft`: it is counted")
    origin: BounceOrigin = Field(description="`smtp`: refused while sending; `dsn`: reported afterwards")
    status: str | None = Field(description="RFC 3463 code, such as `5.1.1`")
    detail: str = Field(description="The server's words")
    created_at: datetime
