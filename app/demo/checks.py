"""Whether every number adds up: each claim of the story against what else is known."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.demo.api import Json
from app.demo.caught_mail import Caught
from app.demo.readers import Played
from app.demo.scenario import Audience, Imported

MARKS = {"opened_at": "openers", "clicked_at": "clickers"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at the end: from the API, from the caught mail, and what was played.

    `recipients` is the whole list, line by line; `still_subscribed` are ids of persons who unsubscribed and yet are
    subscribed; `hard_bounces` the addresses blocked for bouncing.
    """

    imported: Imported
    audience: Audience
    statistics: Json
    recipients: Sequence[Json]
    links: Sequence[Json]
    still_subscribed: frozenset[int]
    hard_bounces: frozenset[str]
    caught: Sequence[Caught]
    played: Played


@dataclass(frozen=True, slots=True)
class Check:
    """One claim: what should be there, and what is."""

    claim: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return self.expected == self.found


def check_all(evidence: Evidence) -> list[Check]:
    """Return every check."""
    return [*_import(evidence), *_list(evidence), *_mail(evidence), *_engagement(evidence)]


def _import(evidence: Evidence) -> Iterable[Check]:
    done = evidence.imported
    outcomes = done.created + done.updated + done.unchanged + done.rejected
    yield Check("every row is a person, an update or a problem", done.rows, outcomes)


def _list(evidence: Evidence) -> Iterable[Check]:
    counts, lines = evidence.statistics["recipients"], evidence.recipients
    pasted = len(evidence.audience.pasted)
    yield Check(
        "the list is the selection and the pasted addresses", len(evidence.audience.consenting) + pasted, len(lines)
    )
    yield Check("statuses sum to the list's size", len(lines), sum(counts["by_status"].values()))
    yield Check("the list, recounted by status", _told(counts["by_status"]), dict(Counter(_each(lines, "status"))))
    recounted = dict(Counter(line["reason"] for line in lines if line["status"] == "blocked"))
    yield Check("the blocked, recounted by reason", _told(counts["blocked_by_reason"]), recounted)
    for mark, figure in MARKS.items():
        found = sum(line[mark] is not None for line in lines)
        yield Check(f"{figure}, recounted", evidence.statistics[figure]["human"], found)


def _mail(evidence: Evidence) -> Iterable[Check]:
    statistics, audience = evidence.statistics, evidence.audience
    caught = Counter(mailbox(message.recipient) for message in evidence.caught)
    mailed = [line for line in evidence.recipients if line["status"] in ("sent", "bounced")]
    allowed = {mailbox(line["email"]) for line in mailed}
    blocked = {mailbox(line["email"]) for line in evidence.recipients if line["status"] == "blocked"}
    yield Check("caught messages = sent", statistics["sent"], len(evidence.caught))
    yield Check("caught messages = recipients sent or bounced", len(mailed), len(evidence.caught))
    yield Check("addresses that got it twice", 0, len(evidence.caught) - len(caught))
    yield Check("addresses mailed wrongly, or wrongly not", 0, len(allowed ^ caught.keys()))
    # A duplicate is blocked because someone else with its address was not: that address has its one message.
    yield Check("blocked persons who got anything", 0, len((blocked - allowed) & caught.keys()))
    withheld = {mailbox(address) for address in (*audience.blocked, audience.former)}
    yield Check("mail to addresses blocked by hand, or who has left", 0, len(withheld & caught.keys()))
    strangers = [line for line in mailed if line["person_id"] not in audience.consenting]
    yield Check("people who got it without consent", 0, len(strangers))


def _engagement(evidence: Evidence) -> Iterable[Check]:
    statistics, played = evidence.statistics, evidence.played
    yield Check("opens as played (human, machine)", _pair(played.opens), _pair(statistics["opens"]))
    yield Check("clicks as played (human, machine)", _pair(played.clicks), _pair(statistics["clicks"]))
    yield Check("people who opened", len(played.openers), statistics["openers"]["human"])
    yield Check("people who clicked", len(played.clickers), statistics["clickers"]["human"])
    by_link = sum(sum(link["clicks"].values()) for link in evidence.links)
    yield Check("clicks, summed over the links", statistics["clicks"]["total"], by_link)
    yield Check("clicks that led elsewhere than their link", 0, _astray(evidence))
    unsubscribed = {mailbox(line["email"]) for line in evidence.recipients if line["unsubscribed_at"]}
    yield Check("unsubscribed", len(played.unsubscribed), statistics["unsubscribed"])
    yield Check(
        "unsubscribed wrongly, or wrongly not", 0, len(unsubscribed ^ {mailbox(one) for one in played.unsubscribed})
    )
    yield Check("unsubscribed who would get the next one", 0, len(evidence.still_subscribed))
    yield Check("bounced", len(played.bounced), sum(statistics["bounced"].values()))
    bounced = {mailbox(address) for address in evidence.hard_bounces}
    yield Check(
        "bounced addresses that are not blocked now", 0, len(bounced ^ {mailbox(one) for one in played.bounced})
    )


def _astray(evidence: Evidence) -> int:
    """Count the addresses that clicks led to and no link of the mailing has; merge tags in a target end the look."""
    targets = [link["target"].partition("[[") for link in evidence.links]
    fixed = {before for before, tag, _ in targets if not tag}
    filled = tuple(before for before, tag, _ in targets if tag)
    return sum(target not in fixed and not target.startswith(filled) for target in evidence.played.targets)


def _pair(judged: Json | Counter[str]) -> tuple[int, int]:
    return judged["human"], judged["machine"]


def _each(lines: Sequence[Json], field: str) -> list[str]:
    return [line[field] for line in lines]


def _told(counts: Json) -> Json:
    return {name: number for name, number in counts.items() if number}


def mailbox(address: str) -> str:
    """Return an address in the one way it is compared: lower case, the domain as mail servers write it (RFC 5890)."""
    local, _, domain = address.strip().lower().rpartition("@")
    return f"{local}@{domain.encode('idna').decode('ascii') if not domain.isascii() else domain}"
