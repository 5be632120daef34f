"""What a server's reply means for the message, the recipient and the mailing: the one place that classifies.

Sources: RFC 5321 §4.2 and RFC 3463 for the codes; the IANA registry of enhanced status codes for X.7.x; Google's list
of SMTP errors (support.google.com/a/answer/3726730) and Microsoft's list of Exchange Online NDR codes for those the
providers gave a meaning of their own.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TEXT_LIMIT: Final = 500  # characters of a server's words that are kept; RFC 5321 §4.5.3.1.5 allows 512 octets a line


class Outcome(StrEnum):
    """What became of one message on one connection (D32, D34)."""

    ACCEPTED = "accepted"  # the server took it
    DEFERRED = "deferred"  # refused for now: a retry is planned
    REJECTED = "rejected"  # refused for good
    SENDER_FAULT = "sender_fault"  # refused because of us: stops the mailing, never marks the recipient
    UNKNOWN = "unknown"  # the body may have left and its reply was not seen: the only doubt there is
    NOT_STARTED = "not_started"  # no byte of the body left: it may be sent at once on another connection


class Stage(StrEnum):
    """The step of the dialogue a reply belongs to."""

    CONNECT = "connect"  # the greeting and EHLO
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"  # the reply to the whole message
    LOCAL = "local"  # decided here; no server was asked


@dataclass(frozen=True, slots=True)
class SendResult:
    """The outcome of a message with the server's own words.

    `code` is the three-digit reply or None where no reply decided it; `enhanced` is its RFC 3463 code; `text` is one
    line of at most 500 characters without control characters. The text may quote the recipient's address, so it does
    not belong in logs.
    """

    outcome: Outcome
    code: int | None
    enhanced: str | None
    text: str
    stage: Stage = Stage.LOCAL


# RFC 2034 §4 puts the code first in the text. Cisco writes "#5.1.0", qmail "(#5.7.1)". Four numbers are an IP address.
_ENHANCED = re.compile(r"(?:^|[#(]#?)([245])\.(\d{1,3})\.(\d{1,3})(?!\d|\.\d)")

# X.7.n that speaks of the sender whatever the class. 20-23, 25: DKIM, SPF and reverse DNS (RFC 7372); 26: several of
# them; 27: SPF at Gmail, sender's null MX elsewhere (RFC 7505); 28: rate of unsolicited mail; 29: TLS; 30: DKIM;
# 31, 40: DMARC; 32: alignment (all Gmail); 515: Microsoft's requirement for bulk senders. 24 (error while checking
# SPF) is missing on purpose: as 4.7.24 it is a passing DNS failure.
_SENDER_DETAILS: Final = frozenset(
    {"20", "21", "22", "23", "25", "26", "27", "28", "29", "30", "31", "32", "40", "515"}
)

# 5.7.n that speaks of this recipient alone, so it must not stop a mailing. 2: mailing list expansion prohibited
# (RFC 3463); 17-19: the mailbox or domain changed owner (RFC 7293); 12, 13, 124, 129, 133-136: recipient, group or
# public folder takes no outside senders; 504, 505: banned recipient (Exchange Online).
_RECIPIENT_DETAILS: Final = frozenset(
    {"2", "12", "13", "17", "18", "19", "124", "129", "133", "134", "135", "136", "504", "505"}
)

# 5.1.7, 5.1.8: the sender's address is malformed or its domain unknown (RFC 3463 §3.2). 5.1.90: Exchange Online's
# daily limit of recipients. 5.4.5: Gmail's daily limit; RFC 3463 calls it congestion, which no server means for good.
_SENDER_CODES: Final = frozenset({"5.1.7", "5.1.8", "5.1.90", "5.4.5"})

_AUTH_CODES: Final = frozenset({530, 534, 535, 538})  # RFC 4954 §6: authentication required, too weak, refused

# Quotas of the sending account that come with a code of another meaning: Amazon SES ("454 Throttling failure: Daily
# message quota exceeded", "554 Sending paused for this account"), Exchange (5.2.0 with the exception's name).
_QUOTA_WORDS = re.compile(
    r"daily (message |user |smtp |sending |relay )*(quota|limit)|sending paused|submissionquotaexceeded", re.IGNORECASE
)

# Words that blame us where the code does not tell: block lists are asked at RCPT and answered with a bare 554, or
# with 5.7.1 and "Recipient address rejected" in front (Postfix policy servers).
_SENDER_WORDS = re.compile(
    r"\b(spf|dkim|dmarc|dnsbl|rbl|spamhaus|spamcop|barracuda|blacklist(ed)?|blocklist(ed)?|blocked using|reputation)\b"
    r"|client host|authentication (is )?required|not authenticated"
    r"|relay(ing)? (access )?(denied|not (permitted|allowed))|sender (address|domain) rejected",
    re.IGNORECASE,
)

# Words that blame the recipient's own rules. gcdp marks rules a Google Workspace administrator made.
_RECIPIENT_WORDS = re.compile(
    r"recipient address rejected|mailing list|distribution (list|group)|\bgroup\b|restricted|\bgcdp\b"
    r"|not (authori[sz]ed|allowed|permitted) to (send|post|mail|e-?mail)\b"
    r"|(recipient|mailbox|user|account)\b.{0,40}\b(disabled|refuse[sd]?|only accepts|does not accept|not accepting)",
    re.IGNORECASE,
)

# D58 and standards.md: unknown address or domain, address refused for good. 5.1.6: moved, 5.1.10: null MX (RFC 7505).
_HARD: Final = frozenset({"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})

# Where the code does not say it: bare 550s, Exchange Online's "5.4.1 Recipient address rejected: Access denied" for
# addresses missing in its directory, Postfix's 5.4.4 for a domain that does not exist.
_UNKNOWN_ADDRESS_WORDS = re.compile(
    r"(unknown|no such|invalid|non-?existent) (local )?(user|recipient|mailbox|address|account|domain)"
    r"|(user|recipient|mailbox|address|account)( (name|address))?( is| was)? (unknown|invalid|not found)"
    r"|(user|recipient|mailbox|address|account|domain)( name)? (does not|doesn't|do not) exist"
    r"|no mailbox (here )?by that name|host or domain name not found|nxdomain|null ?mx",
    re.IGNORECASE,
)

_RATE_WORDS = re.compile(
    r"too (many|much|fast|quickly)|rate.?limit|throttl|(sending|message|maximum \w+) rate|slow down|server busy",
    re.IGNORECASE,
)

# "Greylisted for 300 seconds", "try again in 5 minutes", "retry after 2 hours", "wait 60s".
_COME_AGAIN = re.compile(
    r"\b(?:greylist(?:ed|ing)?|(?:re)?try(?: again| later)?|come back|wait)[ ,:;]*(?:in|after|for)? ?"
    r"(?P<number>\d{1,6}) ?(?P<unit>s|m|h|sec(?:ond)?s?|min(?:ute)?s?|hours?)\b",
    re.IGNORECASE,
)
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


def classify(stage: Stage, code: int, text: str) -> SendResult:
    """Say what the reply `code text` at `stage` means for the message.

    `text` is the reply without its codes, lines joined by a newline. A 421 at MAIL leaves the message not started; at
    later stages it defers it, as any 4xx does. A code that makes no sense leaves the message not started, or unknown
    where the body had gone (smtp-faults).
    """
    words = _tidy(text)
    found = _ENHANCED.search(words)
    enhanced = f"{found[1]}.{found[2]}.{found[3]}" if found else None
    if 200 <= code < 300:
        outcome = Outcome.ACCEPTED
    elif 400 <= code < 500:
        outcome = _temporary(stage, code, enhanced, words)
    elif 500 <= code < 600:
        outcome = _permanent(stage, code, enhanced, words)
    else:
        outcome = Outcome.UNKNOWN if stage is Stage.DOT else Outcome.NOT_STARTED
    return SendResult(outcome, code, enhanced, words, stage)


def decided_here(outcome: Outcome, text: str, stage: Stage = Stage.LOCAL) -> SendResult:
    """Make the result of an event that came without a reply."""
    return SendResult(outcome, None, None, text, stage)


def _temporary(stage: Stage, code: int, enhanced: str | None, words: str) -> Outcome:
    """Class 4: a retry, unless the reply is one of the few that name the sender.

    Generic 4.7.0 and 4.7.1 stay retries at every stage: they are what greylisting answers at RCPT (Postgrey, milter
    greylisting) and after the body (Rspamd), and what providers answer when they throttle. Listed ones, among them
    Gmail's 421 4.7.28 for the rate, stop the mailing: standards.md says so, and D29 lets it go on where it stopped.
    """
    if _names_sender(enhanced) or code in _AUTH_CODES or _QUOTA_WORDS.search(words):
        return Outcome.SENDER_FAULT
    return Outcome.NOT_STARTED if code == 421 and stage is Stage.MAIL else Outcome.DEFERRED


def _permanent(stage: Stage, code: int, enhanced: str | None, words: str) -> Outcome:
    """Class 5: refused for good, unless it is our fault.

    5.7.x is the sender's fault (D32) except where the code or the words speak of this recipient alone: IANA defines
    5.7.1 as "per-host or per-recipient filtering", and one closed discussion list must not stop a mailing. Words
    decide at RCPT only, since a message refused after its body is refused for what it is.
    """
    if stage in (Stage.CONNECT, Stage.TLS, Stage.AUTH):
        return Outcome.SENDER_FAULT
    if code in _AUTH_CODES or enhanced in _SENDER_CODES or _names_sender(enhanced) or _QUOTA_WORDS.search(words):
        return Outcome.SENDER_FAULT
    if enhanced is None:
        return Outcome.SENDER_FAULT if _SENDER_WORDS.search(words) else Outcome.REJECTED
    if not enhanced.startswith("5.7."):
        return Outcome.REJECTED
    if enhanced[4:] in _RECIPIENT_DETAILS:
        return Outcome.REJECTED
    recipients_own_rule = _RECIPIENT_WORDS.search(words) and not _SENDER_WORDS.search(words)
    return Outcome.REJECTED if stage is Stage.RCPT and recipients_own_rule else Outcome.SENDER_FAULT


def _names_sender(enhanced: str | None) -> bool:
    return enhanced is not None and enhanced[1:4] == ".7." and enhanced[4:] in _SENDER_DETAILS


def is_of_account(result: SendResult) -> bool:
    """Tell whether a sender fault is one of the account, so that another account may send what this one may not.

    It does not let us in or in its name, wants a login, or its quota is used up; the rest is about us or the message.
    """
    if result.stage in (Stage.CONNECT, Stage.TLS, Stage.AUTH, Stage.MAIL) or result.code in _AUTH_CODES:
        return True
    return result.enhanced in {"5.1.90", "5.4.5"} or _QUOTA_WORDS.search(result.text) is not None


def is_hard_code(enhanced: str) -> bool:
    """Tell whether an RFC 3463 code alone says that the address is dead (D58); for DSNs and SMTP replies alike."""
    return enhanced in _HARD


def is_hard(result: SendResult) -> bool:
    """Tell whether a rejection says that the address is dead, so that it is blocked at once (D58, D59).

    False for anything temporary, for sender faults, for what was refused locally (no bounce), and for a reply to MAIL,
    given before the server knew the recipient. A 5xx without a telling code is hard only if it came at RCPT and its
    words say so; the rest is soft and is counted.
    """
    if result.outcome is not Outcome.REJECTED or result.code is None or result.stage is Stage.MAIL:
        return False
    if result.enhanced is not None and is_hard_code(result.enhanced):
        return True
    untold = result.enhanced is None or result.enhanced in {"5.0.0", "5.4.1", "5.4.4"}
    if not untold or result.stage is not Stage.RCPT:
        return False
    if result.code == 556:  # RFC 7504 §2: the domain takes no mail
        return True
    exchange_unknown = result.enhanced == "5.4.1" and "recipient address rejected" in result.text.lower()
    return exchange_unknown or _UNKNOWN_ADDRESS_WORDS.search(result.text) is not None


def asks_to_slow_down(result: SendResult) -> bool:
    """Tell whether the destination wants less at a time (D31): 421, Gmail's 4.7.28, or words about the rate.

    A 421 with 4.3.2 is a server that is being shut down or restarted, whatever we send.
    """
    if result.code is None or not 400 <= result.code < 500:
        return False
    closing = result.code == 421 and result.enhanced != "4.3.2"
    return closing or result.enhanced == "4.7.28" or _RATE_WORDS.search(result.text) is not None


def asked_wait(result: SendResult) -> float:
    """Return the seconds after which a temporary refusal says that we may come again; 0 when it does not say."""
    found = _COME_AGAIN.search(result.text)
    return int(found["number"]) * _SECONDS[found["unit"][0].lower()] if found else 0.0


def is_local(result: SendResult) -> bool:
    """Tell whether a rejection was decided here, without a server: final, shown with its text, and not a bounce."""
    return result.outcome is Outcome.REJECTED and result.stage is Stage.LOCAL


def _tidy(text: str) -> str:
    """Make one line of a reply: control characters out, repeated codes of continuation lines out, 500 characters."""
    if text.isprintable() and len(text) <= TEXT_LIMIT:
        return text
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines()]
    found = _ENHANCED.match(lines[0]) if lines else None
    if found:
        prefix = found[0] + " "
        lines[1:] = [line.removeprefix(prefix) for line in lines[1:]]
    return " ".join(line for line in lines if line)[:TEXT_LIMIT]
