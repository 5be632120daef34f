"""Secrets at rest open under their own secret and purpose, and nowhere else."""

import pytest

from app.platform.sealed import SealBrokenError, seal, unseal

SECRET = "a secret for tests, long enough to be taken"
SEALED = seal(b"hunter2", secret=SECRET, purpose="SMTP password")


def test_what_is_sealed_can_be_opened_and_does_not_show():
    assert unseal(SEALED, secret=SECRET, purpose="SMTP password") == b"hunter2"
    assert b"hunter2" not in SEALED
    assert seal(b"hunter2", secret=SECRET, purpose="SMTP password") != SEALED


@pytest.mark.parametrize(
    ("sealed", "secret", "purpose"),
    [
        (SEALED, SECRET, "DKIM key"),
        (SEALED, SECRET + "!", "SMTP password"),
        (SEALED[:-1] + bytes([SEALED[-1] ^ 1]), SECRET, "SMTP password"),
        (b"\x02" + SEALED[1:], SECRET, "SMTP password"),
        (SEALED[:20], SECRET, "SMTP password"),
        (b"", SECRET, "SMTP password"),
    ],
    ids=["other purpose", "other secret", "altered", "other form", "truncated", "empty"],
)
def test_nothing_else_opens_it(sealed, secret, purpose):
    with pytest.raises(SealBrokenError, match=f"sealed {purpose} cannot be opened") as raised:
        unseal(sealed, secret=secret, purpose=purpose)
    assert "hunter2" not in str(raised.value)
