"""The checks of a sending domain (D6): SPF, DKIM, DMARC, MX; asked all at once, with no database at hand."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from app.domains.dmarc import check_dmarc
from app.domains.findings import Check, Finding, Right, Severity, tags_of, unavailable
from app.domains.key_material import record_name, record_text
from app.domains.models import Algorithm, KeyState
from app.domains.resolving import Dns, Kind, Outcome
from app.domains.spf import Us, check_spf
from app.platform.endpoints import read_endpoints
from app.platform.settings import Settings


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key whose record is looked for."""

    key_id: int
    domain: str
    selector: str
    algorithm: Algorithm
    state: KeyState
    public_key: str

    @property
    def right(self) -> Right:
        """The record that publishes it."""
        text = record_text(self.algorithm, self.public_key)
        return Right(record_name(self.selector, self.domain), "TXT", text)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked: a domain, and the keys that sign for it: its own, or those of a domain it lies in."""

    domain_id: int
    domain: str
    keys: Sequence[PublicKey]

    @property
    def signed_by(self) -> str | None:
        """The d= of its signatures, if it has any."""
        return self.keys[0].domain if self.keys else None


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks found. `seen` are the keys whose records are as they should be."""

    findings: list[Finding]
    seen: frozenset[int]

    @property
    def fails(self) -> bool:
        """Whether the domain is not fit to send from."""
        return any(found.severity is Severity.ERROR for found in self.findings)

    @property
    def is_certain(self) -> bool:
        """Whether DNS answered everything."""
        return not any(found.code.endswith("_unavailable") for found in self.findings)


def dns_of(settings: Settings) -> Dns:
    """Return what asks the configured servers."""
    return Dns(read_endpoints(settings.dns_servers, default_port=53), settings.dns_timeout)


def us_of(settings: Settings) -> Us:
    """Return what is configured of where our mail comes from."""
    addresses = tuple(ip_address(part.strip()) for part in settings.sending_addresses.split(",") if part.strip())
    return Us(addresses, settings.spf_include)


async def check(subject: Subject, *, dns: Dns, us: Us, return_domain: str) -> Report:
    """Ask DNS everything about a domain; never raises for what DNS does."""
    seen: set[int] = set()
    parts = await asyncio.gather(
        check_mx(dns, domain=subject.domain, return_domain=return_domain),
        check_spf(dns, domain=subject.domain, us=us),
        _check_keys(dns, subject, seen),
        check_dmarc(dns, domain=subject.domain, signed_by=subject.signed_by, return_domain=return_domain),
    )
    return Report([found for part in parts for found in part], frozenset(seen))


async def check_mx(dns: Dns, *, domain: str, return_domain: str) -> list[Finding]:
    """Return whether replies can come back to a domain (RFC 5321 §5.1, RFC 7505), and reports to the return paths'."""
    answer = await dns.ask(domain, Kind.MX)
    if answer.outcome is Outcome.MISSING:
        detail = f"{domain} is not in DNS: receivers refuse mail from it."
        return [Finding(Check.DOMAIN, "domain_missing", Severity.ERROR, detail)]
    if answer.outcome is Outcome.UNAVAILABLE:
        return [unavailable(Check.MX, domain, answer)]
    hosts = [value.split()[-1].rstrip(".") for value in answer.values]
    findings = []
    if hosts == [""]:
        detail = (
            f"{domain} takes no mail (null MX, RFC 7505): replies are lost, and many receivers refuse mail from it."
        )
        findings.append(Finding(Check.MX, "mx_null", Severity.ERROR, detail, answer.values[0]))
    elif not hosts:
        findings.append(await _implicit_mx(dns, domain))
    elif dead := [host for host in hosts if await _is_dead(dns, host)]:
        severity = Severity.ERROR if len(dead) == len(hosts) else Severity.WARNING
        detail = f"{', '.join(dead)} take mail for {domain}, but have no address."
        findings.append(Finding(Check.MX, "mx_dead", severity, detail, " | ".join(answer.values)))
    else:
        findings.append(Finding(Check.MX, "mx_ok", Severity.OK, "Replies can come back.", " | ".join(answer.values)))
    if return_domain != domain:
        findings += await _check_return_paths(dns, return_domain)
    return findings


async def _implicit_mx(dns: Dns, domain: str) -> Finding:
    if await _is_dead(dns, domain):
        detail = f"{domain} has neither MX nor an address: replies are lost, and many receivers refuse mail from it."
        return Finding(Check.MX, "mx_missing", Severity.ERROR, detail)
    detail = f"{domain} has no MX; its address is tried instead. Is there a mail server?"
    return Finding(Check.MX, "mx_implicit", Severity.WARNING, detail)


async def _is_dead(dns: Dns, host: str) -> bool:
    answers = await asyncio.gather(dns.ask(host, Kind.A), dns.ask(host, Kind.AAAA))
    return all(answer.is_void for answer in answers)


async def _check_return_paths(dns: Dns, return_domain: str) -> list[Finding]:
    answer = await dns.ask(return_domain, Kind.MX)
    null = [value.split()[-1] for value in answer.values] == ["."]
    if not null and (answer.outcome in (Outcome.FOUND, Outcome.UNAVAILABLE) or not await _is_dead(dns, return_domain)):
        return []
    detail = f"Reports of undelivered mail go to {return_domain}, which takes none: give it an MX that leads here."
    return [Finding(Check.MX, "return_path_dead", Severity.WARNING, detail)]


async def _check_keys(dns: Dns, subject: Subject, seen: set[int]) -> list[Finding]:
    if not subject.keys:
        detail = f"Mail from {subject.domain} is not signed: make a DKIM key, and publish its record."
        return [Finding(Check.DKIM, "dkim_no_key", Severity.ERROR, detail)]
    findings = list(await asyncio.gather(*(_check_key(dns, subject, key, seen) for key in subject.keys)))
    signing = [key for key in subject.keys if key.state is KeyState.ACTIVE or key.key_id in seen]
    if signing and not any(key.algorithm is Algorithm.RSA for key in signing):
        detail = "Only Ed25519 signs, which many receivers cannot verify yet: add an RSA key."
        findings.append(Finding(Check.DKIM, "dkim_no_rsa", Severity.WARNING, detail))
    return findings


async def _check_key(dns: Dns, subject: Subject, key: PublicKey, seen: set[int]) -> Finding:
    right = key.right
    answer = await dns.ask(right.name, Kind.TXT)
    if answer.outcome is Outcome.UNAVAILABLE:
        return unavailable(Check.DKIM, right.name, answer)
    others = any(other.state is KeyState.ACTIVE for other in subject.keys if other is not key)
    needed = key.state is KeyState.ACTIVE or (key.state is KeyState.PENDING and not others)
    severity = Severity.ERROR if needed else Severity.WARNING
    if not answer.values:
        detail = f"The {key.state.value} {key.algorithm.value} key's record is not at {right.name}: publish it."
        return Finding(Check.DKIM, "dkim_missing", severity, detail, right=right)
    found = " | ".join(answer.values)
    if len(answer.values) > 1:
        detail = f"{right.name} has {len(answer.values)} records, and receivers take either: keep the right one."
        return Finding(Check.DKIM, "dkim_several", severity, detail, found, right)
    tags = tags_of(answer.values[0])
    published = "".join((tags or {}).get("p", "-").split())
    if not published:
        detail = f"{right.name} revokes the key (p= is empty)."
        return Finding(Check.DKIM, "dkim_revoked", severity, detail, found, right)
    wrong = _difference(tags, key, published)
    if wrong:
        detail = f"{right.name} is not as it should be: {wrong}."
        return Finding(Check.DKIM, "dkim_differs", severity, detail, found, right)
    seen.add(key.key_id)
    if "y" in (tags or {}).get("t", "").split(":"):
        detail = f"{right.name} says t=y: receivers may treat mail as unsigned. Take it out."
        return Finding(Check.DKIM, "dkim_test", Severity.WARNING, detail, found, right)
    detail = f"The {key.algorithm.value} key's record is at {right.name}."
    return Finding(Check.DKIM, "dkim_ok", Severity.OK, detail, found)


def _difference(tags: dict[str, str] | None, key: PublicKey, published: str) -> str | None:
    if tags is None or "p" not in tags:
        return "it cannot be read as a list of tags with p="
    if tags.get("v", "DKIM1") != "DKIM1":
        return f"v={tags['v']} is not DKIM1"
    if tags.get("k", "rsa").lower() != key.algorithm.value:
        return f"k= is {tags.get('k', 'rsa')}, the key is {key.algorithm.value}"
    if "h" in tags and "sha256" not in tags["h"].lower().replace(" ", "").split(":"):
        return f"h={tags['h']} leaves out sha256"
    if "s" in tags and not {"*", "email"} & set(tags["s"].replace(" ", "").split(":")):
        return f"s={tags['s']} leaves out email"
    if published != key.public_key:
        return "p= is another key, or was cut off"
    return None
