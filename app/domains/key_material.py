"""DKIM key pairs: made, written down, read; and the record that publishes the public half (RFC 6376 §3.6.1)."""

import base64
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from app.domains.dkim import PrivateKey
from app.domains.models import Algorithm
from app.platform.sealed import seal, unseal

RSA_BITS = 2048
STRING_OCTETS = 255  # RFC 1035 §3.3: the longest string in a TXT record
_PURPOSE = "DKIM key"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new key: its public half in base64 as in p=, and its private half sealed."""

    public_key: str
    private_key: bytes


def make_key(algorithm: Algorithm, *, secret: str) -> KeyPair:
    """Make a key pair; RSA takes about a tenth of a second."""
    private: PrivateKey
    if algorithm is Algorithm.RSA:
        private = generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)  # RFC 8463 §4.2: the bare key
    sealed = seal(write_key(private), secret=secret, purpose=_PURPOSE)
    return KeyPair(base64.b64encode(public).decode("ascii"), sealed)


@lru_cache(maxsize=64)
def read_key(sealed: bytes, *, secret: str) -> PrivateKey:
    """Return a sealed private key; raises SealBrokenError."""
    return open_key(unseal(sealed, secret=secret, purpose=_PURPOSE))


def write_key(private: PrivateKey) -> bytes:
    """Return a private key as `open_key` reads it: unprotected, for a seal or for a process of ours."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def open_key(written: bytes) -> PrivateKey:
    """Return the private key that `write_key` wrote."""
    # It was made here and its seal held: checking its numbers again would take longer than to sign a message.
    private = load_der_private_key(written, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private, (RSAPrivateKey, Ed25519PrivateKey)):
        raise TypeError(f"a DKIM key is RSA or Ed25519, not {type(private).__name__}")
    return private


def record_name(selector: str, domain: str) -> str:
    """Return where a key's record is published."""
    return f"{selector}._domainkey.{domain}"


def record_text(algorithm: Algorithm, public_key: str) -> str:
    """Return the text of a key's TXT record."""
    return f"v=DKIM1; k={algorithm.value}; p={public_key}"


def txt_strings(text: str) -> list[str]:
    """Cut a TXT record's text into the strings that DNS keeps it in: receivers join them without spaces."""
    return [text[at : at + STRING_OCTETS] for at in range(0, len(text), STRING_OCTETS)]


def zone_line(name: str, text: str) -> str:
    """Return a TXT record as a line of a zone file."""
    quoted = " ".join(f'"{part}"' for part in txt_strings(text))
    return f"{name}. IN TXT {quoted}"
