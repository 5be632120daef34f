"""Signatures and secrets by the Standard Webhooks specification 1.0.0 (symmetric, `v1`)."""

import base64
import hmac
from hashlib import blake2b, sha256

PREFIX = "whsec_"
SALT_OCTETS = 16


def secret_of(service_secret: bytes, *, webhook_id: int, salt: bytes) -> str:
    """Return a webhook's secret, `whsec_…` over 32 octets: made anew each time, so that no table holds it."""
    digest = blake2b(
        webhook_id.to_bytes(8, "big") + salt, digest_size=32, key=service_secret, person=b"webhook secret"
    ).digest()
    return PREFIX + base64.b64encode(digest).decode("ascii")


def sign(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, sha256).digest()
    return "v1," + base64.b64encode(signed).decode("ascii")
