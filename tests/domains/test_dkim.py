"""Our signatures are those that others verify (RFC 6376, RFC 8463)."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domains.dkim import SIGNED, relaxed_body, relaxed_fields
from app.domains.models import Algorithm
from tests.bench.tools import MissingProgramError, find_program
from tests.domains.verifying import Published, signed_by

CASES = int(os.environ.get("BUDSTIKKE_DKIM_CASES", "60"))
PUBLISHED = Published()
RSA, ED25519 = (PUBLISHED.key(algorithm) for algorithm in (Algorithm.RSA, Algorithm.ED25519))
BOTH = signed_by(RSA, ED25519)
MESSAGE = (
    b"From: Kari <kari@example.com>\r\nTo: ola@example.org\r\nSubject:  Hi \t there\r\n folded\r\n"
    b"List-Unsubscribe: <https://news.example.com/u/x>,\r\n <mailto:u@example.com?subject=x>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nX-Other: free\r\nMIME-Version: 1.0\r\n\r\n"
    b"Two  spaces, a\ttab, and some at the end \t\r\n\r\nLast line\r\n\r\n\r\n"
)

# Lines end with CRLF, the last one too, as in every message that SMTP carries; everything else may come.
_char = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")
_line = st.text(_char, max_size=80) | st.text(" \tx", max_size=12) | st.sampled_from(["", ".", "From x", "x" * 2000])
_bodies = st.lists(_line, max_size=8).flatmap(
    lambda lines: st.sampled_from(["\r\n".join([*lines, ""]), "\r\n".join([*lines, "", "", ""])])
)
_printable = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs", "Zs"]), max_size=30
)
_values = st.lists(_printable, min_size=1, max_size=6).flatmap(
    lambda words: st.sampled_from([" ".join(words), "  ".join(words), "\t".join(words), "\r\n ".join(words)])
)
_names = st.sampled_from([*sorted(SIGNED - {"from"}), "SUBJECT", "X-Other", "Received"])
_heads = st.lists(st.tuples(_names, _values), max_size=8)


@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
@given(_heads, _values, _bodies)
def test_whatever_the_message_both_signatures_verify(head, name, body):
    lines = "".join(f"{field}: {value}\r\n" for field, value in [("From", f'"{name}" <a@example.com>'), *head])
    signed = BOTH(f"{lines}\r\n{body}".encode())
    assert PUBLISHED.verify(signed) == [True, True]


def test_what_is_covered_cannot_change_and_from_cannot_be_added_to():
    signed = BOTH(MESSAGE)
    assert PUBLISHED.verify(signed) == [True, True]
    assert PUBLISHED.verify(signed.replace(b"X-Other: free", b"X-Other: changed")) == [True, True]
    assert PUBLISHED.verify(signed.replace(b"Two  spaces", b"Two spaces")) == [True, True]
    for before, after in (
        (b"One-Click\r\n", b"Two-Clicks\r\n"),
        (b"/u/x>", b"/u/y>"),
        (b"Last line", b"Lost line"),
        (b"From: Kari", b"From: Eve <eve@example.com>\r\nFrom: Kari"),
    ):
        assert before in signed
        assert PUBLISHED.verify(signed.replace(before, after)) == [False, False]
    tags = [tag.split(b"=")[0].strip() for tag in signed.partition(b"From: ")[0].split(b";")]
    assert b"l" not in tags


def test_opendkim_verifies_both_kinds(tmp_path):
    try:
        program = find_program("opendkim", package="opendkim")
    except MissingProgramError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    long = MESSAGE.replace(b"Last line", b"x" * 990 + b"  \r\n" + "blåbær".encode())
    empty = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    signed = [signed_by(key)(message) for key in (RSA, ED25519) for message in (MESSAGE, long, empty)]
    altered = signed_by(RSA)(MESSAGE).replace(b"Last line", b"Lost line")
    said = PUBLISHED.opendkim(program, [*signed, BOTH(MESSAGE), altered], tmp_path)
    assert said == ["succeeded"] * 7 + ["failed"]


@pytest.mark.parametrize(
    ("body", "canonical"),
    [  # RFC 6376 §3.4.4 and §3.4.5
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \r\n \t\r\n", b""),
        (b"no end", b"no end\r\n"),
        (b"no end \t", b"no end\r\n"),
    ],
)
def test_bodies_are_relaxed(body, canonical):
    assert relaxed_body(body) == canonical


def test_header_fields_are_relaxed():
    # RFC 6376 §3.4.5, with names that are signed
    assert relaxed_fields("To: X\r\nSubject : Y\t\r\n\tZ  ") == (["to", "subject"], ["to:X", "subject:Y Z"])


def test_of_fields_that_are_repeated_the_last_comes_first():
    names, lines = relaxed_fields("To: 1\r\nCc: 2\r\nX: 3\r\nTo: 4")
    assert (names, lines) == (["to", "cc", "to"], ["to:4", "cc:2", "to:1"])
