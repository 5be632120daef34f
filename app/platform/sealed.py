"""Secrets at rest: what the database keeps sealed, and only a process that knows the service's secret can read.

AES-256-GCM under a key that HKDF (RFC 5869) derives from `secret_key` for one purpose: a sealed DKIM key put into the
column of an SMTP password does not open. A form octet goes first, so that another cipher can follow some day.
"""

import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_FORM = b"\x01"
_NONCE_OCTETS = 12
_TAG_OCTETS = 16


class SealBrokenError(ValueError):
    """What was sealed cannot be opened: altered, sealed for another purpose, or under another `secret_key`."""

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        super().__init__(
            f"a sealed {purpose} cannot be opened: was it sealed under another BUDSTIKKE_SECRET_KEY? "
            "Set the old one again, or make a new one of it"
        )


def seal(plain: bytes, *, secret: str, purpose: str) -> bytes:
    """Return `plain` encrypted and authenticated under `secret` (the setting `secret_key`) for one purpose.

    29 octets longer than `plain`; another value each time.
    """
    nonce = os.urandom(_NONCE_OCTETS)
    return _FORM + nonce + _cipher(secret, purpose).encrypt(nonce, plain, purpose.encode())


def unseal(sealed: bytes, *, secret: str, purpose: str) -> bytes:
    """Return what `seal` was given for the same secret and purpose; raises SealBrokenError."""
    if sealed[:1] != _FORM or len(sealed) < len(_FORM) + _NONCE_OCTETS + _TAG_OCTETS:
        raise SealBrokenError(purpose)
    nonce, encrypted = sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :]
    try:
        return _cipher(secret, purpose).decrypt(nonce, encrypted, purpose.encode())
    except InvalidTag as error:
        raise SealBrokenError(purpose) from error


@lru_cache(maxsize=16)
def _cipher(secret: str, purpose: str) -> AESGCM:
    info = b"budstikke sealed\0" + purpose.encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode()))
