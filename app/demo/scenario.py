"""The sender's side of the story, all of it over the API: from a CRM export to a mailing that is sent."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import httpx2
from rich.console import Console

from app.demo import screen
from app.demo.api import Json, call, events, every, finish, wait_for
from app.demo.errors import FileMissing, WentWrong

SUBSCRIPTION_TYPE = "Nyhetsbrev"  # a heading of the export: its yes and no become subscriptions of this type
SUBJECT = 'Klar for vinteren, [[customer.firstname|default("du")]]?'
TEST_ADDRESS = "kollega@nordlys.example"

PROJECT = {"name": "Høstkampanjen", "number": "2026-7"}

WITHOUT_CONSENT = 4  # persons whose address is pasted though they never said yes
BLOCKED_BY_HAND = 2
UNKNOWN_ADDRESS = "Ukjent Mottaker <ukjent.mottaker@leverandor.example>"
INVALID_ADDRESS = "kari nordmann snabel-a nordlys.example"

IMPORT_WITHIN, LIST_WITHIN, TEST_WITHIN, SEND_WITHIN = 60.0, 30.0, 30.0, 60.0  # seconds; they take one to five

_HERE = Path(__file__).parent
_SHOWN_OF_A_KIND = 3
_OUTCOMES = ("created", "updated", "unchanged", "rejected")


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the file, and of how many problems."""

    rows: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    problems: int


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom the mailing is for, and who must not get it.

    `consenting` are ids of persons. `pasted` are addresses beside the selection, `blocked` those blocked by hand;
    `former` is the address of someone who has left the company.
    """

    selection_id: int
    consenting: frozenset[int]
    pasted: tuple[str, ...]
    blocked: frozenset[str]
    former: str


def import_export(api: httpx2.Client, console: Console, *, file: Path) -> Imported:
    """Upload the export and watch it become persons; raises FileMissing."""
    if not file.exists():
        raise FileMissing(file)
    files = {"file": (file.name, file.read_bytes(), "text/csv")}
    started = call(api, "POST", "/v1/imports", files=files)
    with screen.bar(console, file.name) as bar:
        finish(api, started["operation_id"], within=IMPORT_WITHIN, tell=bar.show)
    done = call(api, "GET", f"/v1/imports/{started['id']}")
    problems = list(every(api, f"/v1/imports/{started['id']}/problems"))
    found = done["detected"] or {}
    described = ", ".join(str(found[name]) for name in ("format", "encoding", "delimiter") if found.get(name))
    screen.line(console, "recognised as", described)
    screen.counts(console, "its rows", {name: done[name] for name in ("rows", *_OUTCOMES)})
    screen.counts(console, "problems, by kind", Counter(problem["code"] for problem in problems))
    for problem in _some_of_each(problems):
        screen.line(console, f"  row {problem['row_number']}, {problem['field'] or 'whole row'}", problem["detail"])
    return Imported(**{name: done[name] for name in ("rows", *_OUTCOMES)}, problems=len(problems))


def _some_of_each(problems: Sequence[Json]) -> list[Json]:
    kinds = dict.fromkeys(problem["code"] for problem in problems)
    return [one for kind in kinds for one in [p for p in problems if p["code"] == kind][:_SHOWN_OF_A_KIND]]


def choose_audience(api: httpx2.Client, console: Console) -> Audience:
    """Make a selection of those with consent, and a few traps: people who must not get the mailing all the same."""
    selection = call(api, "POST", "/v1/selections", json={"name": "Har samtykket", "description": "Til høstbrevet"})
    members = f"/v1/selections/{selection['id']}/members"
    added = call(api, "POST", members, json={"criteria": {"consent": "e_marketing", "is": "given"}})
    consenting = frozenset(member["person_id"] for member in every(api, members))
    screen.line(console, "selection of those with consent", f"{added['added']} persons")

    known = [person for person in every(api, "/v1/persons") if person["email_valid"]]
    sharing = Counter(person["email"].lower() for person in known)
    alone = [person for person in known if sharing[person["email"].lower()] == 1]
    strangers = [person for person in alone if person["id"] not in consenting][:WITHOUT_CONSENT]
    trapped = [person for person in alone if person["id"] in consenting][: BLOCKED_BY_HAND + 1]
    former, blocked = trapped[0], trapped[1:]
    call(api, "PATCH", f"/v1/persons/{former['id']}", json={"former_employee": True})
    for person in blocked:
        call(api, "POST", "/v1/blocked-addresses", json={"email": person["email"], "origin": "ringte og sa nei takk"})
    screen.line(console, "blocked by hand", f"{len(blocked)} addresses; one person has left the company")
    return Audience(
        selection_id=selection["id"],
        consenting=consenting,
        pasted=(*(person["email"] for person in strangers), UNKNOWN_ADDRESS, INVALID_ADDRESS),
        blocked=frozenset(person["email"] for person in blocked),
        former=former["email"],
    )


def compose(api: httpx2.Client, console: Console, *, audience: Audience) -> int:
    """Make a template from the newsletter's files and a mailing from the template; return the mailing's id.

    It is kept in a folder and belongs to a project, whose members are the audience and see it among its activities.
    """
    content = {
        "name": "Månedsbrev",
        "subject": SUBJECT,
        "html": (_HERE / "newsletter.html").read_text(encoding="utf-8"),
        "text": (_HERE / "newsletter.txt").read_text(encoding="utf-8"),
    }
    template = call(api, "POST", "/v1/templates", json=content)
    call(api, "POST", "/v1/sending-domains", json={"domain": "nordlys.example", "trusted": True})
    types = {kind["name"]: kind["id"] for kind in every(api, "/v1/subscription-types")}
    folder = call(api, "POST", "/v1/folders", json={"kind": "mailing", "name": "Nyhetsbrev"})
    project = call(api, "POST", "/v1/projects", json={"external_id": "CRM-P-7", **PROJECT})
    members = f"/v1/projects/{project['id']}/members"
    involved = call(api, "POST", members, json={"selection_id": audience.selection_id})
    setup = {
        "folder_id": folder["id"],
        "project_id": project["id"],
        "name": f"Høstbrev {date.today():%Y-%m}",  # noqa: DTZ011 - the sender's own day
        "from_name": "Nordlys Bygg",
        "from_email": "nyheter@nordlys.example",
        "reply_to": "post@nordlys.example",
        "language": "nb",
        "subscription_type_id": types[SUBSCRIPTION_TYPE],
        "template_id": template["id"],
        "one_per_address": True,
        "utm_source": "nyhetsbrev",
        "utm_campaign": "host",
    }
    mailing = call(api, "POST", "/v1/mailings", json=setup)
    merge_tags = set(re.findall(r"\[\[[a-z_.]+", SUBJECT + content["html"] + content["text"]))
    size = len(content["html"].encode()) // 1024
    screen.line(console, "template", f"{size} kB of HTML, a text part, {len(merge_tags)} merge tags")
    screen.line(console, "subject", SUBJECT)
    screen.line(console, "in the project", f"{PROJECT['name']}, {involved['added']} members")
    return int(mailing["id"])


def fill_list(api: httpx2.Client, console: Console, *, mailing_id: int, audience: Audience) -> Json:
    """Associate the selection, add pasted addresses, wait until the list follows, and return its counts.

    Beside an associated selection, the project brings nobody (D19).
    """
    path = f"/v1/mailings/{mailing_id}"
    call(api, "PATCH", path, json={"selection_id": audience.selection_id})
    call(api, "POST", f"{path}/sources", json={"kind": "addresses", "addresses": list(audience.pasted)})
    wait_for("The recipient list", lambda: call(api, "GET", path)["list_updated_at"], within=LIST_WITHIN)
    sources = [f"{source['kind']} ({source['label']})" for source in call(api, "GET", f"{path}/sources")]
    screen.line(console, "sources", ", ".join(sources))
    counts: Json = call(api, "GET", f"{path}/recipients/counts")
    screen.line(console, "on the list", counts["total"])
    screen.counts(console, "by status", counts["by_status"])
    screen.counts(console, "blocked, by reason", counts["blocked_by_reason"])
    return counts


def review(api: httpx2.Client, console: Console, *, mailing_id: int) -> None:
    """Show the readiness report and one recipient's message, and send a test."""
    path = f"/v1/mailings/{mailing_id}"
    readiness = call(api, "GET", f"{path}/readiness")
    screen.steps(console, readiness)
    if not readiness["ready"]:
        raise WentWrong("The readiness report", state="not ready", why="the problems are listed above")
    preview = call(api, "GET", f"{path}/preview")
    screen.line(console, "preview: subject", preview["subject"])
    for text in [text for text in preview["text"].splitlines() if text][:4]:
        screen.line(console, "", text)
    screen.line(console, "size of the message", f"{preview['size'] / 1024:.0f} kB")
    operation = call(api, "POST", f"{path}/test", json={"addresses": [TEST_ADDRESS]})
    finish(api, operation["id"], within=TEST_WITHIN)
    screen.line(console, "test sent to", TEST_ADDRESS)


def send(api: httpx2.Client, console: Console, *, mailing_id: int, ready: int) -> datetime:
    """Send the mailing and watch until it is finished; return when the last message was delivered.

    Raises WentWrong when it ends in any other way.
    """
    path = f"/v1/mailings/{mailing_id}"
    call(api, "POST", f"{path}/send")
    state, reason = "preparing", None
    with screen.bar(console, "messages", total=ready) as bar:
        for progress in events(api, f"{path}/events", within=SEND_WITHIN):
            state, reason = progress["state"], progress["state_reason"]
            bar.show(progress["recipients"]["by_status"]["sent"], ready)
            if state in ("failed", "stopped"):
                break
    if state != "finished":
        raise WentWrong(f"Mailing {mailing_id}", state=state, why=reason or "no reason is given")
    delivered = [each["sent_at"] for each in every(api, f"{path}/recipients", status="sent")]
    return max((datetime.fromisoformat(moment) for moment in delivered), default=datetime.now(UTC))
