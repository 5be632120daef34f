"""Public collections of user agents, and how well the rules tell machines from readers by them.

What each is worth as evidence:

- `crawler-user-agents` (MIT, PyPI): instances of the very patterns that the rule `crawler` searches for. High
  recall on it says that the patterns are read rightly, and nothing about machines that nobody has listed.
- Crawler-Detect's fixtures (MIT, `tests/data/user-agents`): kept by other people for another list. Held out: no rule
  was written with these crawlers in view, and the 3 000 devices are a sample of 128 000 that were never looked at.
- `fake-useragent` (Apache-2.0, PyPI): what visitors of many sites came with, newest browsers of 2025. No rule is made
  of it.

The rules `names_itself` and `no_browser` were written against a fourth collection, Matomo's, which is not here.

A device's user agent is a reader's only if it is a browser's: what an app's own library (Dalvik, CFNetwork) or an
Office program sends is no reader who looks at a page, and is shown apart.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from app.tracking.models import EventKind, Verdict
from app.tracking.verdicts import judge_request

HELD_OUT = Path(__file__).parent.parent / "data" / "user-agents"

_READS_PAGES = re.compile(r"^\W?(?:Mozilla/\d|Opera|UCWEB)|Opera Mini|MIDP|WAP")
_OF_AN_APP = re.compile(r"Dalvik/|CFNetwork/|ms-office|MSOffice|Microsoft Office")


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    agents: tuple[str, ...]
    machines: bool

    def taken_for_machines(self, kind: EventKind = EventKind.CLICK) -> list[str]:
        return [agent for agent in self.agents if judge_request(kind, "GET", agent).verdict is Verdict.MACHINE]


def _collection(name: str, agents, *, machines: bool) -> Collection:
    return Collection(name, tuple(sorted(set(agents))), machines)


@cache
def collections() -> dict[str, Collection]:
    devices = (HELD_OUT / "devices.txt").read_text(encoding="utf-8").splitlines()
    browsers = [agent for agent in devices if _READS_PAGES.match(agent) and not _OF_AN_APP.search(agent)]
    visitors = files("fake_useragent").joinpath("data", "browsers.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        found.name: found
        for found in (
            _collection(
                "listed crawlers",
                (instance for entry in CRAWLER_USER_AGENTS_DATA for instance in entry.get("instances", ())),
                machines=True,
            ),
            _collection(
                "held-out crawlers", (HELD_OUT / "crawlers.txt").read_text(encoding="utf-8").splitlines(), machines=True
            ),
            _collection("held-out browsers", browsers, machines=False),
            _collection("apps' own libraries", set(devices) - set(browsers), machines=True),
            _collection("visitors", (json.loads(line)["useragent"] for line in visitors), machines=False),
        )
    }


def precision_and_recall(*, machines: str, readers: list[str]) -> tuple[float, float]:
    """Return how many of those called machines are, and how many machines are called so."""
    of_machines = collections()[machines]
    hits = len(of_machines.taken_for_machines())
    wrong = sum(len(collections()[name].taken_for_machines()) for name in readers)
    return hits / (hits + wrong), hits / len(of_machines.agents)


def table() -> str:
    lines = [f"{'user agents of':22} {'are':9} {'number':>6} {'called machines':>16}"]
    for found in collections().values():
        called = len(found.taken_for_machines())
        lines.append(
            f"{found.name:22} {'machines' if found.machines else 'readers':9} {len(found.agents):6}"
            f" {called:8} {called / len(found.agents):6.2%}"
        )
    for machines in ("listed crawlers", "held-out crawlers"):
        precision, recall = precision_and_recall(machines=machines, readers=["held-out browsers", "visitors"])
        lines.append(f"{machines} against both kinds of readers: precision {precision:.4f}, recall {recall:.4f}")
    return "\n".join(lines)
