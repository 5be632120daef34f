import email
import email.policy

from hypothesis import given
from hypothesis import strategies as st

from app.content import headers

lines = st.text(
    st.sampled_from(' "\\,<>@=?') | st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=300
)


def read(written):
    return email.message_from_string(written + "\r\n", policy=email.policy.default)


@given(lines)
def test_text_comes_back_and_lines_are_short(value):
    value = value.strip()
    written = headers.text("Subject", value)
    assert read(written)["Subject"] == value
    assert all(len(line) <= headers.LINE for line in written.split("\r\n"))


@given(lines)
def test_a_name_comes_back_and_lines_are_short(name):
    written = headers.mailbox("To", name, "kari@example.com")
    (address,) = read(written)["To"].addresses
    assert address.addr_spec == "kari@example.com"
    # email's own parser puts a space between two encoded words of a name, against RFC 2047 §6.2: hence without spaces.
    assert "".join(address.display_name.split()) == "".join(name.split())
    assert all(len(line) <= headers.LINE for line in written.split("\r\n"))


def test_plain_text_is_folded_at_spaces_and_stays_readable():
    assert headers.text("Subject", "word " * 20) == f"Subject:{' word' * 14}\r\n{' word' * 6}\r\n"


def test_the_longest_address_fits():
    address = f"{'l' * 64}@{'.'.join(['d' * 61] * 3)}.no"
    assert f"<{address}>" in headers.mailbox("To", "Bjørn", address)
