"""A signed message, ready to be posted (Standard Webhooks)."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.webhooks.signing import sign


@dataclass(frozen=True, slots=True)
class Message:
    """A signed event, ready to be posted."""

    body: bytes
    headers: dict[str, str]


def signed(content: Mapping[str, Any], *, message_id: str, secret: str) -> Message:
    """Return the message of some content. Its id is the same in every try, its time is not."""
    body = json.dumps(content, ensure_ascii=False).encode()
    timestamp = int(time.time())
    headers = {
        "content-type": "application/json", "user-agent": "Budstikke-Webhooks/1", "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message_id=message_id, timestamp=timestamp, body=body),
    }  # fmt: skip
    return Message(body, headers)


def written(moment: datetime) -> str:
    """Return a time as messages have it: RFC 3339, UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
