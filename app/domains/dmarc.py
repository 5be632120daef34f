"""DMARC as re-issued in 2026 (RFC 9989): the policy record, found by the DNS tree walk."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.domains.findings import Check, Finding, Right, Severity, tags_of, unavailable
from app.domains.resolving import Answer, Dns, Kind, Outcome

LONGEST_WALK = 8  # labels of the first name asked after the domain itself are at most one fewer

_POLICIES = ("none", "quarantine", "reject")
_ALLOWED = {
    "p": _POLICIES, "sp": _POLICIES, "np": _POLICIES, "adkim": ("r", "s"), "aspf": ("r", "s"), "t": ("y", "n"),
    "psd": ("y", "n", "u"),
}  # fmt: skip
_GONE = ("pct", "rf", "ri")
_KNOWN = (*_ALLOWED, *_GONE, "v", "rua", "ruf", "fo")


@dataclass(frozen=True, slots=True)
class Policy:
    """The record that receivers apply to a domain, and the domain's organisational domain."""

    at: str
    tags: dict[str, str]
    text: str
    organisation: str


def walked(domain: str) -> Iterator[str]:
    """Give the names that the tree walk asks at, without `_dmarc.` (RFC 9989 §4.10): itself, then ever shorter ones."""
    labels = domain.split(".")
    yield domain
    rest = labels[1:] if len(labels) < LONGEST_WALK else labels[-(LONGEST_WALK - 1) :]
    for first in range(len(rest)):
        yield ".".join(rest[first:])


async def find_policy(dns: Dns, domain: str) -> Policy | Answer | list[str] | None:
    """Return the policy for a domain; the answer that failed; the records where there are several; None without one."""
    records: dict[str, tuple[dict[str, str], str]] = {}
    for name in walked(domain):
        answer = await dns.ask(f"_dmarc.{name}", Kind.TXT)
        if answer.outcome is Outcome.UNAVAILABLE:
            return answer
        texts = [text for text in answer.values if _is_dmarc(text)]
        if len(texts) > 1 and name == domain:
            return texts
        if len(texts) != 1 or (tags := tags_of(texts[0])) is None:
            continue
        records[name] = (tags, texts[0])
        if tags.get("psd") in ("y", "n"):
            break
    if not records:
        return None
    organisation = _organisation(domain, records)
    applied = next((name for name in (domain, organisation, *records) if name in records), None)
    return Policy(applied, *records[applied], organisation) if applied else None


def _organisation(domain: str, records: dict[str, tuple[dict[str, str], str]]) -> str:
    """Return the organisational domain (RFC 9989 §4.10.2)."""
    for name, (tags, _) in records.items():
        if tags.get("psd") == "n":
            return name
        if tags.get("psd") == "y" and name != domain:
            return ".".join(domain.split(".")[-name.count(".") - 2 :])
    return list(records)[-1]


def _is_dmarc(text: str) -> bool:
    version, _, _ = text.partition(";")
    return version.replace(" ", "") == "v=DMARC1"


async def check_dmarc(dns: Dns, *, domain: str, signed_by: str | None, return_domain: str) -> list[Finding]:
    """Return what is to be said of a domain's DMARC policy; `signed_by` is the d= of its mail's signatures."""
    found = await find_policy(dns, domain)
    if isinstance(found, Answer):
        return [unavailable(Check.DMARC, f"_dmarc.{domain}", found)]
    right = Right(f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}")
    if found is None:
        detail = f"No DMARC policy stands at _dmarc.{domain} or above; Gmail, Yahoo and Microsoft ask for one."
        return [Finding(Check.DMARC, "dmarc_missing", Severity.ERROR, detail, right=right)]
    if isinstance(found, list):
        detail = f"_dmarc.{domain} has {len(found)} DMARC records, and receivers then heed none: keep one."
        return [Finding(Check.DMARC, "dmarc_several", Severity.ERROR, detail, " | ".join(found), right)]
    findings = [*_judge_tags(found, right), *_judge_alignment(found, domain, signed_by, return_domain)]
    if not any(each.severity is Severity.ERROR for each in findings):
        where = "" if found.at == domain else f", inherited from {found.at}"
        policy = found.tags.get("p", "none")
        if where:
            policy = found.tags.get("sp", policy)
        detail = f"DMARC applies the policy {policy}{where}."
        findings.append(Finding(Check.DMARC, "dmarc_ok", Severity.OK, detail, found.text))
    return findings


def _judge_tags(policy: Policy, right: Right) -> Iterator[Finding]:
    tags = policy.tags
    for tag, allowed in _ALLOWED.items():
        if tag in tags and tags[tag].lower() not in allowed:
            heavy = tag == "p" and "rua" not in tags
            detail = f"DMARC's {tag}={tags[tag]} is none of {', '.join(allowed)}" + (
                ": without a rua= as well, receivers heed none of the record."
                if heavy
                else "; receivers ignore the tag."
            )
            severity = Severity.ERROR if heavy else Severity.WARNING
            yield Finding(Check.DMARC, "dmarc_syntax", severity, detail, policy.text, right)
    if "p" not in tags and "rua" not in tags:
        detail = "The DMARC record has neither p= nor rua=, and is not heeded."
        yield Finding(Check.DMARC, "dmarc_syntax", Severity.ERROR, detail, policy.text, right)
    if gone := [tag for tag in _GONE if tag in tags]:
        detail = f"{', '.join(gone)} went with RFC 9989 and is ignored; it may be removed."
        yield Finding(Check.DMARC, "dmarc_gone", Severity.NOTE, detail, policy.text)
    if unknown := [tag for tag in tags if tag not in _KNOWN]:
        detail = f"DMARC knows no tag {', '.join(unknown)}; receivers ignore it."
        yield Finding(Check.DMARC, "dmarc_unknown", Severity.NOTE, detail, policy.text)
    if tags.get("t", "").lower() == "y":
        detail = "t=y: receivers apply the policy one step milder, as a test."
        yield Finding(Check.DMARC, "dmarc_test", Severity.NOTE, detail, policy.text)
    if "rua" not in tags:
        detail = "Without rua= nobody tells you who sends in your name."
        yield Finding(Check.DMARC, "dmarc_no_reports", Severity.NOTE, detail, policy.text)
    elif bad := [uri for uri in tags["rua"].split(",") if not uri.strip().lower().startswith("mailto:")]:
        detail = f"rua={bad[0].strip()} is no mailto: address; reports go nowhere."
        yield Finding(Check.DMARC, "dmarc_syntax", Severity.WARNING, detail, policy.text, right)


def _judge_alignment(policy: Policy, domain: str, signed_by: str | None, return_domain: str) -> Iterator[Finding]:
    if signed_by is None:
        return
    if policy.tags.get("adkim", "").lower() == "s" and signed_by != domain:
        detail = f"adkim=s asks for signatures by {domain} itself, and those of {signed_by} do not count: make it keys."
        yield Finding(Check.DMARC, "dmarc_strict", Severity.ERROR, detail, policy.text)
    within = return_domain == policy.organisation or return_domain.endswith(f".{policy.organisation}")
    if not within or (policy.tags.get("aspf", "").lower() == "s" and return_domain != domain):
        detail = f"Return paths are at {return_domain}, which is not aligned: DMARC rests on DKIM alone."
        yield Finding(Check.DMARC, "dmarc_dkim_only", Severity.NOTE, detail)
