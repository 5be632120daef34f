"""Who a mailing is from and who gets the replies: rules that fit each other (D5)."""

from typing import Any

from app.content.merge_tags import Contact
from app.mailings.models import FromRule, Mailing, ReplyToRule
from app.platform.errors import Invalid, InvalidField

REPLIES = {"reply_to_rule", "reply_to_name", "reply_to"}

_CONTACTS: dict[str, Contact] = {"our_contact": "our_contact", "support_contact": "support_contact"}


def contact_of(rule: FromRule | ReplyToRule) -> Contact | None:
    """Return the contact of the recipient that a rule names, or None."""
    return _CONTACTS.get(rule.value)


def settle_replies(fields: dict[str, Any], *, mailing: Mailing | None = None) -> None:
    """Complete and check what was told of replies; `mailing` is what it changes.

    An address without a rule means `always`, none means `use_from`; the rules that name a contact stay, for which the
    address is only what stands in. Raises Invalid with a pointer where `use_from` has an address or a name beside it.
    """
    kept = None if mailing is None or "reply_to_rule" in fields else mailing.reply_to_rule
    rule = fields.get("reply_to_rule") or kept
    address = fields.get("reply_to", mailing.reply_to if mailing else None)
    told = fields.get("reply_to_rule") is not None
    if not told and (rule is None or ("reply_to" in fields and contact_of(rule) is None)):
        rule = ReplyToRule.ALWAYS if address else ReplyToRule.USE_FROM
        if rule is ReplyToRule.USE_FROM and mailing is not None:
            fields.setdefault("reply_to_name", "")
    fields["reply_to_rule"] = rule
    if rule is ReplyToRule.USE_FROM:
        name = fields.get("reply_to_name", mailing.reply_to_name if mailing else "")
        _check_unused({"reply_to": address, "reply_to_name": name}, fields, told=told)


def _check_unused(unused: dict[str, Any], fields: dict[str, Any], *, told: bool) -> None:
    found = []
    for name, value in unused.items():
        if value:
            pointer = f"#/{name}" if name in fields or not told else "#/reply_to_rule"
            detail = f"With use_from, replies go to the sender: leave {name} out (null), or choose another rule (D5)."
            if name == "reply_to_name" and not told:
                detail = "A name for replies needs its address: give reply_to as well (D5)."
            found.append(InvalidField(pointer=pointer, detail=detail))
    if found:
        raise Invalid(" ".join(dict.fromkeys(error.detail for error in found)), errors=found)
