"""Who signs mail from a domain: the domain's own active keys, or those of the nearest listed domain it lies in.

A signature by example.com is aligned with From news.example.com unless the DMARC record says adkim=s (RFC 9989 §4.4):
both have the same organisational domain, as long as nobody lists a public suffix, which nobody can publish a key at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlmodel.ext.asyncio.session import AsyncSession

from app.domains import key_queries
from app.domains.dkim import Signer, SigningKey
from app.domains.key_material import read_key
from app.domains.names import parents


@dataclass(slots=True)
class Signers:
    """The signers of every domain that has active keys, as they were when they were loaded.

    Keys are opened when they are first needed. A rotation does not disturb who has loaded the old key: its record stays
    in DNS while it is retiring.
    """

    sealed: Mapping[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    """(selector, sealed private key) by domain."""
    secret: str = field(default="", repr=False)
    _found: dict[str, Signer | None] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.sealed)

    def of(self, domain: str) -> Signer | None:
        """Return the signer for mail from a domain (an A-label in lower case), or None; raises SealBrokenError."""
        try:
            return self._found[domain]
        except KeyError:
            signer = self._found[domain] = self._find(domain)
            return signer

    def _find(self, domain: str) -> Signer | None:
        for name in parents(domain):
            if keys := self.sealed.get(name):
                return Signer(
                    tuple(SigningKey(name, selector, read_key(key, secret=self.secret)) for selector, key in keys)
                )
        return None


async def load_signers(session: AsyncSession, *, secret: str) -> Signers:
    """Return the signers of all domains, as their keys are now."""
    sealed: dict[str, list[tuple[str, bytes]]] = {}
    for row in await key_queries.active_keys(session):
        sealed.setdefault(row.domain, []).append((row.selector, row.private_key))
    return Signers(sealed, secret)


async def is_signed(session: AsyncSession, *, domain: str) -> bool:
    """Tell whether mail from a domain (an A-label in lower case) is signed at this time."""
    return bool(await key_queries.signing_domains(session, names=list(parents(domain))))
