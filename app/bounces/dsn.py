"""What a message to a return path says about its recipient: a bounce, or something that only looks like one (D57, D58).

Delivery status notifications (RFC 3464) are read first, then the shapes of servers that do not follow it, by
flufl.bounce. Auto-replies (RFC 3834) and delay notices are not bounces. Pure: octets in, a `Report` out.
"""

import logging
import re
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from enum import StrEnum
from typing import Final

from flufl.bounce import all_failures

from app.bounces.mime import header, outer_parts, read_message, simplify, text_of
from app.delivery.replies import TEXT_LIMIT, Outcome, Stage, classify, is_hard, is_hard_code

# It logs a trace for each message that one of its detectors cannot take: no news, and parts of strangers' mail.
logging.getLogger("flufl.bounce").disabled = True


class ReportKind(StrEnum):
    """What a message to a return path is."""

    BOUNCE_HARD = "bounce_hard"
    BOUNCE_SOFT = "bounce_soft"
    SENDER_FAULT = "sender_fault"  # undelivered because of us: never marks a recipient (D32)
    DELAYED = "delayed"  # the server goes on trying
    DELIVERED = "delivered"  # delivered, relayed or expanded: nobody asked, nothing follows
    AUTO_REPLY = "auto_reply"
    COMPLAINT = "complaint"  # an ARF message (RFC 5965)
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """What was read.

    `status` is the RFC 3463 code, `action` RFC 3464's. `detail` is one line of at most 500 characters; it often quotes
    the recipient's address, so it stays out of logs.
    """

    kind: ReportKind
    status: str | None = None
    detail: str = ""
    action: str | None = None


def read_report(octets: bytes, *, address: str | None = None) -> Report:
    """Say what a message is, and what it says about `address`, the recipient its return path belongs to.

    Without an address, or when no block of the report names it (it was forwarded), the only failing block counts.
    Never raises; reads the start of long messages only.
    """
    message = read_message(octets)
    if message is None:
        return Report(ReportKind.UNKNOWN, detail="its MIME structure cannot be read")
    if _is_complaint(message):
        return Report(ReportKind.COMPLAINT)
    blocks = _blocks(message)
    if blocks:
        return _from_blocks(blocks, address)
    if _is_marked_auto_reply(message):
        return Report(ReportKind.AUTO_REPLY)
    text = text_of(message)
    found = _from_words(message, text, address)
    if found:
        return found
    if _looks_like_auto_reply(message):
        return Report(ReportKind.AUTO_REPLY)
    return Report(ReportKind.UNKNOWN, detail=_one_line(text))


def _is_complaint(message: Message) -> bool:
    return any(part.get_content_type() == "message/feedback-report" for part in outer_parts(message))


# Delivery status notifications


@dataclass(frozen=True, slots=True)
class _Block:
    """What a report says about one recipient (RFC 3464 §2.3)."""

    addresses: frozenset[str]
    action: str
    status: str | None
    diagnostic: str

    @property
    def failed(self) -> bool:
        # OpenSMTPD writes `error`, some gateways `failure`; an action that is missing is told by the status.
        if self.action:
            return self.action.startswith(("fail", "error"))
        return self.status is not None and self.status.startswith("5")


_ADDRESS_FIELDS: Final = ("Original-Recipient", "Final-Recipient", "X-Actual-Recipient")
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")  # RFC 3461 §4


def _blocks(message: Message) -> list[_Block]:
    parts = [part for part in outer_parts(message) if part.get_content_type() == "message/delivery-status"]
    return [_block(fields) for part in parts for fields in _field_groups(part) if _is_about_recipient(fields)]


def _field_groups(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [fields for fields in payload if isinstance(fields, Message)] if isinstance(payload, list) else []


def _is_about_recipient(fields: Message) -> bool:
    return "Action" in fields or any(name in fields for name in _ADDRESS_FIELDS)


def _block(fields: Message) -> _Block:
    addresses = set()
    for name in _ADDRESS_FIELDS:
        # `rfc822; ola@example.org`; Exchange 5.5 and others leave the type out
        address = header(fields, name).rpartition(";")[2].strip(" <>").casefold()
        addresses |= {address, _XTEXT.sub(lambda found: chr(int(found[1], 16)), address.upper()).casefold()}
    status = _STATUS.search(header(fields, "Status"))
    diagnostic = header(fields, "Diagnostic-Code")
    kind, given, words = diagnostic.partition(";")
    return _Block(
        addresses=frozenset(addresses - {""}),
        action=header(fields, "Action").partition(" ")[0].lower(),
        status=status[0] if status else None,
        diagnostic=words.strip() if given and " " not in kind.strip() else diagnostic,
    )


def _from_blocks(blocks: list[_Block], address: str | None) -> Report:
    ours = [block for block in blocks if address and address.casefold() in block.addresses]
    failed = [block for block in ours or blocks if block.failed]
    if not ours and len(failed) > 1:
        return Report(ReportKind.UNKNOWN, detail="several recipients failed, and none of them is ours", action="failed")
    if not failed:
        block = (ours or blocks)[0]
        passed = block.action in {"delivered", "relayed", "expanded"} or (block.status or "").startswith("2.")
        kind = ReportKind.DELIVERED if passed else ReportKind.DELAYED
        return Report(kind, status=block.status, detail=_one_line(block.diagnostic), action=block.action or None)
    block = failed[0]
    return _judge(status=block.status, words=block.diagnostic, action=block.action or None)


# The SMTP reply inside a diagnostic text: before an enhanced code, or where a server's words begin.
_REPLY_CODE = re.compile(r"(?<![\d.])([45]\d\d)[ -](?=#?[45]\.\d{1,3}\.\d)|(?:^|[:;]\s?)([45]\d\d)(?=[ -])")


def _judge(*, status: str | None, words: str, action: str | None) -> Report:
    """Return the failure as hard, soft or ours: by the server's reply where it is quoted, else by the status.

    A reply in a report came most likely at RCPT or after the body, which reports do not tell; it is read as one at
    RCPT, since an address is what a report is about. Unknown codes are soft: they are kept and counted (standards.md).
    """
    found = _REPLY_CODE.search(words)
    code = int(found[1] or found[2]) if found else (450 if status and status.startswith("4") else 550)
    said = words[found.end() :].strip(" -") if found else words
    result = classify(Stage.RCPT, code, said)
    if result.enhanced is None and status:
        result = classify(Stage.RCPT, code, f"{status} {said}")
    status = result.enhanced or status
    detail = _one_line(words) or f"The report has no text; its status is {status}."
    if result.outcome is Outcome.SENDER_FAULT:
        kind = ReportKind.SENDER_FAULT
    elif is_hard(result) or (result.outcome is Outcome.REJECTED and status is not None and is_hard_code(status)):
        kind = ReportKind.BOUNCE_HARD
    else:
        kind = ReportKind.BOUNCE_SOFT
    return Report(kind, status=status, detail=detail, action=action)


# Reports of other shapes

_LINES_OF_REASON: Final = 12  # lines after the address; the longest reason among real reports (Gmail's) has nine


def _from_words(message: Message, text: str, address: str | None) -> Report | None:
    try:
        delayed, failed = all_failures(simplify(message))
    except Exception:  # noqa: BLE001 - heuristics of a library on hostile text: what they stumble over, they do not know
        return None
    if not failed:
        return Report(ReportKind.DELAYED, detail=_reason(text, address)) if delayed else None
    named = {octets.decode("ascii", "replace").casefold() for octets in failed}
    if address and address.casefold() in named:
        named = {address.casefold()}
    if len(named) > 1:
        return Report(ReportKind.UNKNOWN, detail="several recipients failed, and none of them is ours")
    return _judge(status=None, words=_reason(text, named.pop()), action=None)


def _reason(text: str, address: str | None) -> str:
    """Return the lines that give the reason: from the address on, up to a rule; all of the text when it is not named.

    The address itself is left out where a line consists of nothing else.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((n for n, line in enumerate(lines) if address and address.casefold() in line.casefold()), 0)
    reason: list[str] = []
    for line in lines[first : first + _LINES_OF_REASON]:
        if line.startswith("--"):
            break
        if not (address and line.strip("<>: ").casefold() == address.casefold()):
            reason.append(line)
    return " ".join(reason)


# Auto-replies

_AUTO_REPLY_FIELDS: Final = ("X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Mail-Autoreply")

# Subjects of vacation programs, in the languages of D49.
_AUTO_REPLY_SUBJECT = re.compile(
    r"^(?:(?:re|sv|vs|aw|antw)\s*:\s*)?"
    r"(?:auto(?:matic)?[ -]?(?:reply|response|svar)|automatiskt? svar|automatische (?:antwort|antwoord)"
    r"|out of (?:the )?office|vacation|on (?:leave|holiday)|frav(?:æ|ae)r|frånvaro|ikke på kontoret|inte på kontoret"
    r"|ikke til stede|ferie|semester|abwesenheit|nicht im büro|afwezig)",
    re.IGNORECASE,
)


def _is_marked_auto_reply(message: Message) -> bool:
    """Tell whether a program that answers for a person marked the message as its own.

    `Auto-Submitted` alone does not tell: bounces carry it as well (RFC 3834 §5).
    """
    if any(name in message for name in _AUTO_REPLY_FIELDS):
        return True
    if header(message, "Precedence").lower() in {"auto_reply", "auto-reply"}:
        return True
    return "vacation" in header(message, "Auto-Submitted").lower()


def _looks_like_auto_reply(message: Message) -> bool:
    submitted = header(message, "Auto-Submitted").lower()
    if submitted and not submitted.startswith("no"):
        return True
    return _AUTO_REPLY_SUBJECT.search(_decoded_subject(message)) is not None


def _decoded_subject(message: Message) -> str:
    subject = header(message, "Subject")
    try:
        return str(make_header(decode_header(subject)))
    except (MessageError, ValueError, LookupError):
        return subject


def _one_line(text: str) -> str:
    """Return text for people: one line, printable, at most 500 characters."""
    printable = "".join(char if char.isprintable() else " " for char in text[: TEXT_LIMIT * 8])
    return " ".join(printable.split())[:TEXT_LIMIT]
