"""Asking DNS: dnspython behind one question, its failures as values. The servers are a setting: tests script them."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

CHAIN = 8  # CNAMEs that are followed from one answer to the next; within an answer any number

_AT_ONCE = 8


class Kind(StrEnum):
    """What is asked for."""

    TXT = "TXT"
    MX = "MX"
    A = "A"
    AAAA = "AAAA"


class Outcome(StrEnum):
    """What became of a question."""

    FOUND = "found"
    EMPTY = "empty"  # the name is there, and has no such record
    MISSING = "missing"  # NXDOMAIN
    UNAVAILABLE = "unavailable"  # no answer, or a refusal: nothing is known


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS said. `values` are texts, addresses, or for MX `preference name` with `.` for none."""

    outcome: Outcome
    values: tuple[str, ...] = ()
    words: str = ""
    """Why it is unavailable."""

    @property
    def is_void(self) -> bool:
        """Whether nothing was found for sure (RFC 7208 §4.6.4)."""
        return self.outcome in (Outcome.EMPTY, Outcome.MISSING)


@dataclass(slots=True)
class Dns:
    """Asks DNS, each question once: made anew for each check. Without servers it asks the system's."""

    servers: list[tuple[str, int]] = field(default_factory=list)
    timeout: float = 5.0
    """Seconds for a question with all its tries."""
    within: float = 30.0
    """Seconds for all questions; what is asked later is unavailable, as where a record leads to dead servers."""
    _until: float | None = None
    _known: dict[tuple[str, Kind], "asyncio.Task[Answer]"] = field(default_factory=dict)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def ask(self, name: str, kind: Kind) -> Answer:
        """Return what DNS says of a name; never raises for what DNS does."""
        key = (name.rstrip(".").lower(), kind)
        task = self._known.get(key)
        if task is None:
            task = self._known[key] = asyncio.create_task(self._ask(*key))
        return await task

    async def _ask(self, name: str, kind: Kind) -> Answer:
        clock = asyncio.get_running_loop().time
        self._until = self._until or clock() + self.within
        async with self._turns:
            try:
                async with asyncio.timeout(min(self.timeout, self._until - clock())):
                    return await self._follow(dns.name.from_text(name), kind)
            except dns.resolver.NXDOMAIN:
                return Answer(Outcome.MISSING)
            except dns.name.NameTooLong:
                return Answer(Outcome.MISSING)
            except (dns.exception.DNSException, OSError, TimeoutError) as error:
                return Answer(Outcome.UNAVAILABLE, words=_words(error))

    async def _follow(self, name: dns.name.Name, kind: Kind) -> Answer:
        resolver = self._resolver()
        for _ in range(CHAIN):
            answer = await resolver.resolve(name, kind.value, raise_on_no_answer=False, search=False)
            if answer.rrset is not None:
                return Answer(Outcome.FOUND, tuple(sorted(_value(record, kind) for record in answer.rrset)))
            if answer.canonical_name == name:
                return Answer(Outcome.EMPTY)
            name = answer.canonical_name  # a server that does not follow CNAMEs to their end
        return Answer(Outcome.UNAVAILABLE, words=f"a chain of more than {CHAIN} CNAMEs")

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self.servers)
        if self.servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self.servers]
        resolver.lifetime = self.timeout
        resolver.timeout = self.timeout / 2  # one lost packet is asked again
        return resolver


def _value(record: object, kind: Kind) -> str:
    if kind is Kind.TXT:
        return b"".join(record.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]
    return str(record)


def _words(error: Exception) -> str:
    if isinstance(error, (dns.exception.Timeout, TimeoutError)):
        return "no answer in time"
    if isinstance(error, dns.resolver.NoNameservers):
        return "the name servers refuse or fail (SERVFAIL, REFUSED)"
    return type(error).__name__
