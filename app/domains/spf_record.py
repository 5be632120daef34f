"""Reading an SPF record (RFC 7208 §4.6, §5, §6)."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

_VERSION = "v=spf1"
_TERM = re.compile(r"([+\-?~]?)([A-Za-z][A-Za-z0-9]*)(.*)", re.DOTALL)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9\-_.]*)=(.*)", re.DOTALL)
_CIDR = re.compile(r"(?:/(\d{1,3}))?(?://(\d{1,3}))?")
_DOMAIN = re.compile(r"(?:[!-$&-~]|%\{[slodiphcrtvSLODIPHCRTV]\d*r?[.\-+,/_=]*\}|%%|%_|%-)+")

WITH_DOMAIN = ("include", "exists")
LOOKING_UP = ("include", "a", "mx", "ptr", "exists")
"""The mechanisms that ask DNS; of them and `redirect`, ten may be met (RFC 7208 §4.6.4)."""

Network = IPv4Network | IPv6Network


class SpfError(ValueError):
    """A record that receivers cannot read: for them the check ends in an error."""


@dataclass(frozen=True, slots=True)
class Term:
    """A mechanism: `qualifier` is one of + - ? ~, `domain` None for the record's own."""

    qualifier: str
    mechanism: str
    domain: str | None = None
    network: Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record, read."""

    terms: tuple[Term, ...]
    redirect: str | None

    @property
    def has_end(self) -> bool:
        """Whether it says what is to be thought of everybody else."""
        return self.redirect is not None or any(term.mechanism == "all" for term in self.terms)


def is_spf(text: str) -> bool:
    """Tell whether a TXT record is an SPF record."""
    return text.lower() == _VERSION or text.lower().startswith(f"{_VERSION} ")


def read_spf(text: str) -> SpfRecord:
    """Read an SPF record; raises SpfError, which names the term that is wrong."""
    terms: list[Term] = []
    modifiers: dict[str, str] = {}
    for word in text.split(" ")[1:]:
        if not word:
            continue
        if (modifier := _MODIFIER.fullmatch(word)) and ":" not in modifier[1]:
            name = modifier[1].lower()
            if name in ("redirect", "exp") and (name in modifiers or not _DOMAIN.fullmatch(modifier[2])):
                raise SpfError(f"{word!r} needs a domain, and stands there once at most")
            modifiers[name] = modifier[2]
        else:
            terms.append(_term(word))
    return SpfRecord(tuple(terms), modifiers.get("redirect"))


def _term(word: str) -> Term:
    match = _TERM.fullmatch(word)
    if match is None:
        raise SpfError(f"{word!r} is neither a mechanism nor a modifier")
    qualifier, name, rest = match[1] or "+", match[2].lower(), match[3]
    if name == "all" and not rest:
        return Term(qualifier, name)
    if name in ("ip4", "ip6"):
        return Term(qualifier, name, network=_network(word, name, rest))
    if name in WITH_DOMAIN:
        if not rest.startswith(":") or not _DOMAIN.fullmatch(rest[1:]):
            raise SpfError(f"{word!r} needs a domain, as in {name}:example.com")
        return Term(qualifier, name, rest[1:])
    if name in ("a", "mx", "ptr"):
        return _with_addresses(word, qualifier, name, rest)
    raise SpfError(f"{word!r}: there is no mechanism {name!r}")


def _network(word: str, name: str, rest: str) -> Network:
    try:
        network = ip_network(rest.removeprefix(":"), strict=False)
    except ValueError:
        network = None
    if network is None or not rest.startswith(":") or network.version != int(name[-1]):
        raise SpfError(f"{word!r} needs an IPv{name[-1]} address or network after the colon")
    return network


def _with_addresses(word: str, qualifier: str, name: str, rest: str) -> Term:
    domain, slash, length = rest.partition("/")
    cidr = _CIDR.fullmatch(slash + length)
    sound = domain == "" or (domain.startswith(":") and _DOMAIN.fullmatch(domain[1:]))
    if not cidr or not sound or (name == "ptr" and slash):
        raise SpfError(f"{word!r} is not of the form {name}:example.com" + ("" if name == "ptr" else "/24//64"))
    prefix4, prefix6 = int(cidr[1] or 32), int(cidr[2] or 128)
    if prefix4 > 32 or prefix6 > 128:
        raise SpfError(f"{word!r}: an IPv4 prefix has at most 32 bits, an IPv6 prefix 128")
    return Term(qualifier, name, domain[1:] or None, prefix4=prefix4, prefix6=prefix6)
