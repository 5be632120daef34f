"""Signatures of a process of its own are those that are made here, and nobody misses one when it dies."""

import os
import signal

import pytest

from app.delivery import signing_aside
from app.delivery.signing_aside import Aside
from app.domains.dkim import SignatureField
from app.domains.models import Algorithm
from tests.domains.verifying import Published
from tests.running import wait_until

KEYS = [Published().key(algorithm) for algorithm in (Algorithm.RSA, Algorithm.ED25519, Algorithm.RSA)]
FIELDS = [SignatureField(KEYS[number % 3], "", bytes([number]) * 32) for number in range(10)]
EXPECTED = [field.key.sign(field.digest) for field in FIELDS]  # neither kind of signature has anything random in it


@pytest.fixture
def aside(monkeypatch):
    """What signs for this thread, with a process from the second batch on."""
    monkeypatch.setattr(signing_aside, "WORTH", 10)
    made = Aside()
    yield made
    made.close()


def elsewhere(aside):
    """Sign until a process does it."""
    assert aside.sign(FIELDS) == EXPECTED
    before = aside.made
    wait_until(lambda: aside.sign(FIELDS) == EXPECTED and aside.process.is_ready())
    assert aside.made >= before
    return aside.process.pid


def test_a_process_makes_the_same_signatures_and_few_are_made_without_one(aside):
    assert aside.process is None
    assert aside.sign(FIELDS[:9]) == EXPECTED[:9]
    assert aside.process is None, "a small mailing starts none"
    elsewhere(aside)
    made = aside.made
    assert aside.sign(FIELDS) == EXPECTED
    assert aside.sign(FIELDS[::-1]) == EXPECTED[::-1]
    assert aside.made == made, "nothing more is signed here"


def test_what_a_killed_process_did_not_answer_is_signed_here_and_another_one_begins(aside):
    killed = elsewhere(aside)
    os.kill(killed, signal.SIGKILL)
    os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
    assert aside.sign(FIELDS) == EXPECTED
    assert aside.process is None
    assert elsewhere(aside) != killed


def test_a_process_ends_with_its_pipe(aside):
    pid = elsewhere(aside)
    aside.process._into.close()  # as the kernel does for a worker that was killed
    wait_until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG))
