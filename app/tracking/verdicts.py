"""Human or machine (D45): the rules, their reasons, and the version that is stored with every verdict.

What the request itself tells is judged here. What needs rows (too soon after delivery, bursts) is judged by the
statement that stores the event, with the numbers of this module: see `queries`.

- `head_request`: machine. Browsers follow links with GET; gateways probe with HEAD.
- `no_user_agent`: machine. Every browser and mail program names itself.
- `scanner`: machine. A mail security gateway that names itself.
- `crawler`: machine. A program of the public list `crawler-user-agents`.
- `names_itself`: machine, on a click. Says what it is (bot, crawler, monitor …), or an address to read about it.
- `no_browser`: machine, on a click. Names no engine that shows pages: what readers click with does.
- `mail_privacy_prefetch`: machine. Bare `Mozilla/5.0`: Apple's proxies load every image, read or not.
- `bare_user_agent`: machine. The same string on a click, where no browser sends it.
- `office_link_check`: machine. Office programs probe a link themselves, then hand it to the browser.
- `image_proxy`: human. Gmail's and Yahoo's proxies load an image when the reader opens the message, not before.
- `too_soon`: machine. Within `machine_seconds` of delivery, or before delivery is on record.
- `honeypot`, `near_honeypot`: machine. A click on the link that no person sees, and that recipient's clicks within
  AROUND_SECONDS of it.
- `probed`: machine. A GET after a HEAD of the same link by the same agent. (Office programs probe and then open the
  reader's browser: another agent.)
- `burst`: machine. Several different links of one recipient within seconds, also those clicked before it was clear.

A human click is no human open: readers who block images are not counted as having opened, since nothing says when.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from app.tracking.models import EventKind, Verdict

RULE_VERSION = 2
"""Goes up with every change of a rule or its numbers: verdicts that are stored are judged again (`rejudging`)."""

BURST_SECONDS = 10.0
"""Gateways open all links of a message in parallel or one a second; a reader returns to the message in between."""
BURST_LINKS = 5
"""Different links within BURST_SECONDS that no reader opens."""
BURST_SMALLEST_MAILING = 3
"""Mailings with 3 or 4 links: all of them within BURST_SECONDS is a burst. One or two prove nothing."""
BURST_LOOKBACK = 100
"""Clicks of one recipient that are looked at: bounds the work when one link is hammered."""

AROUND_SECONDS = 60.0
"""What a machine does beside a HEAD or a honeypot click is over by then; a reader comes at another time."""

LONGEST_USER_AGENT = 400  # characters that are stored and judged; browsers stay under 300

HEAD_REQUEST = "head_request"
NO_USER_AGENT = "no_user_agent"
SCANNER = "scanner"
CRAWLER = "crawler"
NAMES_ITSELF = "names_itself"
NO_BROWSER = "no_browser"
MAIL_PRIVACY_PREFETCH = "mail_privacy_prefetch"
BARE_USER_AGENT = "bare_user_agent"
OFFICE_LINK_CHECK = "office_link_check"
IMAGE_PROXY = "image_proxy"
TOO_SOON = "too_soon"
HONEYPOT = "honeypot"
NEAR_HONEYPOT = "near_honeypot"
PROBED = "probed"
BURST = "burst"
ROW_REASONS = frozenset({TOO_SOON, HONEYPOT, NEAR_HONEYPOT, PROBED, BURST})
"""Reasons that follow from other rows; the rest follow from the request alone."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reasons."""

    verdict: Verdict
    reasons: tuple[str, ...]


HUMAN = Judgement(Verdict.HUMAN, ())

_BARE = re.compile(r"Mozilla/\d\.\d\s*")
_IMAGE_PROXY = re.compile(r"GoogleImageProxy|YahooMailProxy")
_OFFICE = re.compile(r"ms-office|MSOffice|Microsoft Office")
_SCANNER = re.compile(r"barracuda|mimecast|proofpoint|cloudmark|messagelabs|urldefense|virustotal|phish", re.IGNORECASE)

# Words and addresses with which programs say what they are. Phones are called CUBOT, B BOT 550 and Spider 8.
_NAMES = re.compile(
    r"(?<!cu)bot(?![a-z0-9]|[ _][\w ]*(?:Build|\)))|crawl|(?<!; )spider(?! \d)|scrap(?:e|y|ing)|archiver"
    r"|scan(?:ner|ning)|monitor|fetch|validator|checker|preview|thumbnail|screenshot|feed.?(?:parser|reader)|indexer|harvest"
    r"|analy[sz]er|verifier|verification|headless|lighthouse|page.?speed"
    r"|https?(?:%3a|:)//?|\bwww\.[a-z]|[\w.+-]+@[\w-]+\.[a-z]{2}",
    re.IGNORECASE,
)
# Engines of browsers, also of phones of old and of terminals.
_ENGINE = re.compile(
    r"AppleWebKit|Gecko[/ ]|Trident|MSIE|Presto|Opera|KHTML|Konqueror|Goanna|NetFront|U[CP]\.?(?:Browser|WEB)|MIDP"
    r"|Browser|WAP|Lynx|Links |w3m|Dillo|Obigo|Teleca|Maui|iCab|Series60",
    re.IGNORECASE,
)

# Mail programs and proxies that the public list counts among crawlers but that show what a reader did.
_READERS = re.compile(r"GoogleImageProxy|YahooMailProxy|FastmailUA|mail\\\.ru")

# All but some forty of the 1 500 patterns are plain text, and a text is found 50 times faster than an alternation.
_PLAIN = re.compile(r"(?:[^\\^$.*+?{}\[\]|()]|\\[^A-Za-z0-9])+")
_PATTERNS = tuple(
    pattern for entry in CRAWLER_USER_AGENTS_DATA if not _READERS.search(pattern := str(entry["pattern"]))
)
_CRAWLER_TEXTS = tuple(re.sub(r"\\(.)", r"\1", pattern) for pattern in _PATTERNS if _PLAIN.fullmatch(pattern))
_CRAWLER_PATTERN = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS if not _PLAIN.fullmatch(pattern)))


@lru_cache(maxsize=16_384)
def judge_request(kind: EventKind, method: str, user_agent: str) -> Judgement:
    """Judge one request by what it says of itself; pure, and remembered since most readers look alike."""
    reasons: list[str] = []
    if method == "HEAD":
        reasons.append(HEAD_REQUEST)
    reasons += _reasons_of(kind, user_agent[:LONGEST_USER_AGENT])
    if reasons:
        return Judgement(Verdict.MACHINE, tuple(reasons))
    if kind is EventKind.OPEN and _IMAGE_PROXY.search(user_agent):
        return Judgement(Verdict.HUMAN, (IMAGE_PROXY,))
    return HUMAN


def _reasons_of(kind: EventKind, user_agent: str) -> list[str]:
    if not user_agent.strip():
        return [NO_USER_AGENT]
    if _BARE.fullmatch(user_agent):
        return [MAIL_PRIVACY_PREFETCH if kind is EventKind.OPEN else BARE_USER_AGENT]
    reasons = [SCANNER] if _SCANNER.search(user_agent) else []
    if kind is EventKind.CLICK and _OFFICE.search(user_agent):
        reasons.append(OFFICE_LINK_CHECK)
    if is_crawler(user_agent) or (kind is EventKind.CLICK and _IMAGE_PROXY.search(user_agent)):
        reasons.append(CRAWLER)
    if kind is EventKind.CLICK:
        if _NAMES.search(user_agent):
            reasons.append(NAMES_ITSELF)
        if not _ENGINE.search(user_agent):
            reasons.append(NO_BROWSER)
    return reasons


def is_crawler(user_agent: str) -> bool:
    """Tell whether a user agent is on the public list of crawlers; about 150 µs for one that is not."""
    return any(text in user_agent for text in _CRAWLER_TEXTS) or _CRAWLER_PATTERN.search(user_agent) is not None
