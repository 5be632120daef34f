"""SPF (RFC 7208): may our servers send for a domain, and can receivers work it out within their limits."""

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network

from app.domains.findings import Check, Finding, Right, Severity, unavailable
from app.domains.resolving import Answer, Dns, Kind, Outcome
from app.domains.spf_record import LOOKING_UP, Network, SpfError, SpfRecord, Term, is_spf, read_spf

MOST_LOOKUPS = 10  # RFC 7208 §4.6.4: terms that ask DNS, all included records counted
MOST_VOIDS = 2  # of them that find nothing
_ENOUGH = 40  # then counting stops: the record is wrong whatever follows

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Us:
    """Where our mail comes from, as far as it is configured: the addresses, and what a record should include."""

    addresses: tuple[Address, ...] = ()
    include: str | None = None

    def term(self) -> str | None:
        """Return what to write into a record; None where nothing is configured."""
        if self.include:
            return f"include:{self.include}"
        return " ".join(f"ip{address.version}:{address}" for address in self.addresses) or None


@dataclass(slots=True)
class _Node:
    """A record with what its terms came to: networks, or another record."""

    record: SpfRecord
    networks: dict[int, tuple[Network, ...]] = field(default_factory=dict)
    includes: dict[int, "_Node"] = field(default_factory=dict)
    redirect: "_Node | None" = None

    def result(self, address: Address) -> str:
        """Return pass, fail, softfail or neutral for a sender at an address."""
        for number, term in enumerate(self.record.terms):
            if self._matches(number, term, address):
                return {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}[term.qualifier]
        return self.redirect.result(address) if self.redirect else "neutral"

    def _matches(self, number: int, term: Term, address: Address) -> bool:
        if term.mechanism == "all":
            return True
        if term.mechanism == "include":
            return number in self.includes and self.includes[number].result(address) == "pass"
        return any(address.version == net.version and address in net for net in self.networks.get(number, ()))


@dataclass(slots=True)
class _Walk:
    """One walk over a record and all that it refers to."""

    dns: Dns
    lookups: int = 0
    voids: int = 0
    names: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def say(self, code: str, severity: Severity, detail: str, *, found: str | None = None) -> None:
        self.findings.append(Finding(Check.SPF, code, severity, detail, found))

    async def visit(self, record: SpfRecord, domain: str, above: tuple[str, ...] = ()) -> _Node:
        node = _Node(record)
        for number, term in enumerate(record.terms):
            if term.mechanism in LOOKING_UP:
                self.lookups += 1
            if self.lookups > _ENOUGH:
                return node
            if term.network is not None:
                node.networks[number] = (term.network,)
            elif term.mechanism == "include" and term.domain:
                if found := await self._refer(term.domain, above=(*above, domain)):
                    node.includes[number] = found
            elif term.mechanism in ("a", "mx"):
                node.networks[number] = await self._addresses(term, domain)
            elif term.mechanism == "ptr":
                self.say("spf_ptr", Severity.WARNING, f"`ptr` in {domain} is slow and ignored by many (RFC 7208 §5.5).")
        if record.redirect and not any(term.mechanism == "all" for term in record.terms):
            self.lookups += 1
            node.redirect = await self._refer(record.redirect, above=(*above, domain))
        return node

    async def _refer(self, name: str, *, above: tuple[str, ...]) -> _Node | None:
        name = name.rstrip(".").lower()
        self.names.add(name)
        if "%" in name:
            self.say("spf_macro", Severity.NOTE, f"{name} depends on the message, and cannot be checked ahead.")
            return None
        if name in above:
            self.say("spf_loop", Severity.ERROR, f"{name} refers to itself: receivers end in an error.")
            return None
        answer = await self.dns.ask(name, Kind.TXT)
        if answer.outcome is Outcome.UNAVAILABLE:
            self.findings.append(unavailable(Check.SPF, name, answer))
            return None
        self.voids += answer.is_void
        texts = [text for text in answer.values if is_spf(text)]
        if len(texts) != 1:
            many = f"has {len(texts)} SPF records" if texts else "has no SPF record"
            self.say("spf_reference", Severity.ERROR, f"{name} is referred to, but {many}: receivers end in an error.")
            return None
        try:
            record = read_spf(texts[0])
        except SpfError as error:
            self.say("spf_syntax", Severity.ERROR, f"The record of {name} cannot be read: {error}.", found=texts[0])
            return None
        return await self.visit(record, name, above)

    async def _addresses(self, term: Term, domain: str) -> tuple[Network, ...]:
        name = term.domain or domain
        if "%" in name:
            return ()
        names = [name]
        if term.mechanism == "mx":
            answer = await self.dns.ask(name, Kind.MX)
            self.voids += answer.is_void
            names = [value.split()[-1].rstrip(".") for value in answer.values if value.split()[-1] != "."]
            if len(names) > MOST_LOOKUPS:
                self.say("spf_many_mx", Severity.ERROR, f"{name} has {len(names)} MX records; 10 are the most in `mx`.")
                names = names[:MOST_LOOKUPS]
        pairs = await asyncio.gather(*(self._both(host) for host in names))
        if term.mechanism == "a":
            self.voids += all(answer.is_void for answer in pairs[0])
        prefixes = (term.prefix4, term.prefix6)
        return tuple(
            ip_network(f"{value}/{prefix}", strict=False)
            for pair in pairs
            for answer, prefix in zip(pair, prefixes, strict=True)
            for value in answer.values
        )

    async def _both(self, host: str) -> tuple[Answer, Answer]:
        first, second = await asyncio.gather(self.dns.ask(host, Kind.A), self.dns.ask(host, Kind.AAAA))
        return first, second


async def check_spf(dns: Dns, *, domain: str, us: Us) -> list[Finding]:
    """Return what is to be said of a domain's SPF record."""
    answer = await dns.ask(domain, Kind.TXT)
    if answer.outcome is Outcome.UNAVAILABLE:
        return [unavailable(Check.SPF, domain, answer)]
    texts = [text for text in answer.values if is_spf(text)]
    if not texts:
        right = Right(domain, "TXT", f"v=spf1 {term} ~all") if (term := us.term()) else None
        detail = f"{domain} has no SPF record; publish one that names the servers your mail comes from."
        return [Finding(Check.SPF, "spf_missing", Severity.ERROR, detail, right=right)]
    if len(texts) > 1:
        detail = (
            f"{domain} has {len(texts)} SPF records, and receivers then heed none (RFC 7208 §4.5): make one of them."
        )
        return [Finding(Check.SPF, "spf_several", Severity.ERROR, detail, " | ".join(texts))]
    (text,) = texts
    try:
        record = read_spf(text)
    except SpfError as error:
        return [Finding(Check.SPF, "spf_syntax", Severity.ERROR, f"The SPF record cannot be read: {error}.", text)]
    walk = _Walk(dns)
    node = await walk.visit(record, domain)
    _judge(walk, node, text=text, domain=domain, us=us)
    if not any(found.severity in (Severity.ERROR, Severity.WARNING) for found in walk.findings):
        walk.say("spf_ok", Severity.OK, f"The SPF record is right; it takes {walk.lookups} of 10 look-ups.", found=text)
    return walk.findings


def _judge(walk: _Walk, node: _Node, *, text: str, domain: str, us: Us) -> None:
    if walk.lookups > MOST_LOOKUPS:
        count = f"over {_ENOUGH}" if walk.lookups > _ENOUGH else str(walk.lookups)
        detail = f"The SPF record takes {count} look-ups with all that it includes; receivers stop with an error at 10."
        walk.say("spf_lookups", Severity.ERROR, detail, found=text)
    if walk.voids > MOST_VOIDS:
        detail = f"{walk.voids} terms of the SPF record find nothing in DNS; receivers stop with an error at the third."
        walk.say("spf_voids", Severity.ERROR, detail, found=text)
    if any(term.mechanism == "all" and term.qualifier == "+" for term in node.record.terms):
        walk.say(
            "spf_anyone", Severity.ERROR, "`+all` lets anybody send for the domain: end with ~all or -all.", found=text
        )
    elif not node.record.has_end:
        walk.say(
            "spf_no_end", Severity.WARNING, "The SPF record says nothing of other senders: end with ~all.", found=text
        )
    missing = [address for address in us.addresses if node.result(address) != "pass"]
    lacks_include = us.include is not None and us.include.lower() not in walk.names and not us.addresses
    if missing or lacks_include:
        what = ", ".join(map(str, missing)) if missing else f"include:{us.include}"
        right = Right(domain, "TXT", _with_us(text, us.term() or ""))
        detail = f"The SPF record does not let our servers send: {what} is missing."
        walk.findings.append(Finding(Check.SPF, "spf_not_us", Severity.ERROR, detail, text, right))


def _with_us(text: str, term: str) -> str:
    words = text.split()
    end = next(
        (at for at, word in enumerate(words) if word.lower().lstrip("+-?~") == "all" or "redirect=" in word), None
    )
    return " ".join([*words[:end], term, *(words[end:] if end is not None else ["~all"])])
