"""A plan's messages are signed with their From domain's keys, and its shortcut to the body's hash is exact."""

import os
from hashlib import sha256
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.content.attached import Attachment
from app.content.compiled import FIELDS
from app.delivery.canonical import canonical_body, canonical_head
from app.delivery.plan import Plan
from app.delivery.signing import Signing
from app.domains.dkim import relaxed_body, signed_head
from app.domains.key_material import make_key, record_name, record_text
from app.domains.models import Algorithm
from app.domains.signing import Signers
from app.platform.tokens import TokenKey
from tests.conftest import SECRET
from tests.content.messages import compiled, parsed, recipient, whole
from tests.content.test_rendering import MESSAGE, values
from tests.domains.verifying import Published

CASES = int(os.environ.get("BUDSTIKKE_DKIM_CASES", "60"))
PUBLISHED = Published()
INDENTED = compiled(
    "<html>\n    <body>\n\t\t<p>  [[company.name]] \n  <a href='https://a.example/'>a  b</a></p>\n   </body></html>",
    text="  [[company.name]]  x  \n\n [[company.name]]\n\n\n",
)


def signers_of(*domains):
    """Signers as they are loaded: sealed keys by domain, published."""
    sealed = {}
    for domain in domains:
        for algorithm in Algorithm:
            selector, key = f"{algorithm.value}", make_key(algorithm, secret=SECRET)
            PUBLISHED.records[record_name(selector, domain)] = record_text(algorithm, key.public_key)
            sealed.setdefault(domain, []).append((selector, key.private_key))
    return Signers(sealed, SECRET)


SIGNERS = signers_of("example.com")


REPLYING = compiled("<p>Hi</p>", reply_to="reply@example.com", reply_to_name="Answers")


@settings(max_examples=CASES)
@given(st.sampled_from([MESSAGE, INDENTED, REPLYING]), values, values, st.booleans())
def test_whatever_the_values_the_signatures_of_a_compiled_message_verify(message, value, name, tracked):
    data = recipient(message, {"company.name": value}, to_name=name)
    joint, filled = message.fill(data, clicks=tracked, opens=tracked)
    tokens = len(message.token_slots)
    rendered = joint.fill(filled)
    start, _, rest = rendered.partition(b"\r\n\r\n")
    body = canonical_body(joint, tokens=tokens)
    assert body.texts is not None, "its form is known ahead"
    assert body.digest(rendered, filled) == sha256(relaxed_body(rest)).digest()
    reply_to = tokens + FIELDS.index("reply_to")
    head = canonical_head(joint, tokens=tokens, missing=None if filled[reply_to] else reply_to)
    assert (head.names, head.fill(filled)) == signed_head(start)
    fields = Signing(SIGNERS, tokens=tokens).fields(rendered, joint=joint, filled=filled)
    assert PUBLISHED.verify(b"".join(field.sign() for field in fields) + rendered) == [True, True]


def test_a_field_that_is_there_twice_is_not_laid_out_ahead():
    message = compiled("<p>Hi</p>", headers=[("To", "others@example.com")])
    assert canonical_head(message.tracked, tokens=len(message.token_slots)) is None
    assert PUBLISHED.verify(bytes(plan_of(message, SIGNERS).render(ROW, ()))) == [True, True]


def test_a_usual_message_is_hashed_as_it_is_sent():
    message = compiled("<p>Hi [[customer.name]]</p>\n<p><a href='https://a.example/'>a</a></p>")
    body = canonical_body(message.tracked, tokens=len(message.token_slots))
    assert body.same
    assert not canonical_body(INDENTED.tracked, tokens=len(INDENTED.token_slots)).same


def plan_of(message, signers, **more):
    return Plan(
        dispatch_id=1, mailing_id=1, compiled=message, link_ids=(), tokens=TokenKey.from_secret(SECRET),
        message_domain="m.example.com", return_domain="m.example.com", track_unknown=True, signers=signers,
        **more,
    )  # fmt: skip


ROW = SimpleNamespace(id=7, name="Kari", email="kari@example.org", track_clicks=None, track_opens=None)


@pytest.mark.parametrize(
    ("sender", "signatures"),
    [
        ("a@example.com", 2),
        ("a@EXAMPLE.com", 2),
        ("a@deep.news.example.com", 2),
        ("a@notexample.com", 0),
        ("a@com", 0),
    ],
)
def test_a_domains_keys_sign_for_it_and_for_what_lies_in_it(sender, signatures):
    rendered = plan_of(compiled("<p>Hi</p>", from_email=sender), SIGNERS).render(ROW, ())
    assert PUBLISHED.verify(bytes(rendered)) == [True] * signatures


def test_without_keys_nothing_is_looked_at():
    rendered = plan_of(compiled("<p>Hi</p>"), Signers()).render(ROW, ())
    assert "DKIM-Signature" not in parsed(bytes(rendered))


@pytest.mark.parametrize("html", ["<p>Hi</p>", "<p>\t Hi  </p> \n\n", ""])
def test_attachments_are_signed_with_every_message(html):
    """D16: the tail is hashed as it is, or in canonical form where a file's name makes it loose."""
    for name in ("a.bin", "a  b.bin"):
        file = bytes(range(256)) * 300
        message = compiled(html, attachments=[Attachment(5, name, "application/octet-stream", len(file))])
        data = recipient(message)
        tail = whole(message, data, {5: file})[len(message.render(data)) :]
        sent = plan_of(message, SIGNERS, tail=tail).render(ROW, ())
        assert sent.tail is tail
        assert PUBLISHED.verify(bytes(sent)) == [True, True]
