"""Names of domains: one form for DNS, SMTP and comparing (A-labels, lower case), another to show (U-labels)."""

import re
from collections.abc import Iterator

import idna

from app.domains.errors import InvalidDomain

MAX_OCTETS = 253  # RFC 1035 §3.1, less the root and the length of the first label
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?")


def a_label(domain: str) -> str:
    """Return a domain's name as DNS has it; raises InvalidDomain."""
    name = domain.strip().rstrip(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise InvalidDomain.field("#/domain", f"{domain!r} is not a domain name: {error}.") from error
    labels = name.split(".")
    if len(labels) < 2 or len(name) > MAX_OCTETS or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        detail = f"{domain!r} is not a domain name; give one like news.example.com, without @ and http://."
        raise InvalidDomain.field("#/domain", detail)
    return name


def u_label(domain: str) -> str:
    """Return a domain's name as people write it; a label that is no IDNA stays as it is."""
    return ".".join(map(_shown, domain.split(".")))


def _shown(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return idna.decode(label)
    except idna.IDNAError:
        return label


def domain_of(address: str) -> str | None:
    """Return the domain of an email address as `a_label` writes it, or None where it has none."""
    try:
        return a_label(address.rpartition("@")[2])
    except InvalidDomain:
        return None


def parents(domain: str) -> Iterator[str]:
    """Give the domain, then each domain it lies in, down to two labels."""
    labels = domain.split(".")
    for first in range(len(labels) - 1):
        yield ".".join(labels[first:])
