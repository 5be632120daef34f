"""What replies mean, by the codes and words real servers use."""

import pytest

from app.delivery.replies import (
    Outcome,
    Stage,
    asked_wait,
    asks_to_slow_down,
    classify,
    decided_here,
    is_hard,
    is_local,
    is_of_account,
)

A, D, R = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED
S, U, N = Outcome.SENDER_FAULT, Outcome.UNKNOWN, Outcome.NOT_STARTED
MAIL, RCPT, DATA, DOT, AUTH, CONNECT = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT, Stage.AUTH, Stage.CONNECT

SAID = [
    (DOT, 250, "2.0.0 Ok: queued as 4XYZ", A),
    (DOT, 354, "go", U),
    (DATA, 250, "ok", A),
    (MAIL, 421, "4.3.2 closing", N),
    (RCPT, 421, "4.3.2 closing", D),
    # greylisting, before and after the body
    (RCPT, 450, "4.7.1 <a@b.no>: Recipient address rejected: Greylisted, see http://postgrey.example/", D),
    (RCPT, 451, "4.7.1 Greylisting in action, please come back later", D),
    (DOT, 451, "4.7.1 Try again later", D),
    (RCPT, 450, "4.2.0 Greylisted", D),
    # throttling that names nobody
    (DOT, 421, "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", D),
    (RCPT, 451, "4.7.500 Server busy. Please try again later", D),
    (RCPT, 451, "4.7.24 SPF temporary error", D),
    (DOT, 452, "4.2.2 The recipient's inbox is out of storage", D),
    # sender faults of the big providers
    (DOT, 550, "5.7.26 This mail has been blocked because the sender is unauthenticated", S),
    (DOT, 421, "4.7.26 This mail has been rate limited because it is unauthenticated", S),
    (DOT, 550, "5.7.27 SPF did not pass", S),
    (DOT, 421, "4.7.27 SPF did not pass", S),
    (DOT, 421, "4.7.28 unusual rate of mail originating from your SPF domain", S),
    (DOT, 421, "4.7.30 DKIM did not pass", S),
    (DOT, 421, "4.7.31 DMARC", S),
    (DOT, 421, "4.7.32 From header not aligned", S),
    (DOT, 550, "5.7.40 DMARC record", S),
    (RCPT, 550, "5.7.515 Access denied, sending domain does not meet the required authentication level", S),
    (MAIL, 421, "4.7.28 rate", S),
    (DOT, 554, "5.7.1 Message rejected as spam", S),
    (DOT, 550, "5.7.1 [192.0.2.1] not authorized to send to this mailing list group", S),
    (RCPT, 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", S),
    (RCPT, 554, "5.7.1 <a@b.no>: Recipient address rejected: SPF fail", S),
    (RCPT, 554, "5.7.1 <a@b.no>: Relay access denied", S),
    (RCPT, 550, "5.7.1 refused", S),
    (RCPT, 554, "Client host blocked using dnsbl.example", S),
    (MAIL, 530, "5.7.0 Authentication required", S),
    (AUTH, 535, "5.7.8 credentials invalid", S),
    (AUTH, 454, "4.7.0 Temporary authentication failure", D),
    (MAIL, 550, "5.1.8 Sender domain does not exist", S),
    (MAIL, 553, "5.1.7 Bad sender address", S),
    (CONNECT, 554, "No SMTP service here", S),
    (CONNECT, 421, "Too many connections", D),
    # quotas of the sending account
    (DOT, 454, "Throttling failure: Daily message quota exceeded.", S),
    (DOT, 454, "Throttling failure: Maximum sending rate exceeded.", D),
    (DOT, 550, "5.4.5 Daily user sending limit exceeded", S),
    (DOT, 554, "5.2.0 STOREDRV; SubmissionQuotaExceededException", S),
    (DOT, 554, "Sending paused for this account", S),
    # the recipient's own
    (RCPT, 550, "5.1.1 User unknown", R),
    (RCPT, 554, "5.7.1 <a@b.no>: Recipient address rejected: Access denied", R),
    (RCPT, 550, "5.7.1 You are not allowed to post to this mailing list", R),
    (RCPT, 550, "5.7.1 This message violates example.com email policy. - gcdp 12 - gsmtp", R),
    (RCPT, 550, "5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup", R),
    (RCPT, 550, "5.7.17 Mailbox owner has changed", R),
    (DOT, 552, "5.3.4 Message too big", R),
    (DOT, 552, "5.2.2 Over quota", R),
    (RCPT, 550, "No such user", R),
    (MAIL, 550, "no", R),
]


@pytest.mark.parametrize(("stage", "code", "text", "outcome"), SAID)
def test_reply_is_classified(stage, code, text, outcome):
    assert classify(stage, code, text).outcome is outcome


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [
        ("5.7.515 Access denied", "5.7.515"),
        ("#5.1.0 Address rejected", "5.1.0"),
        ("Sorry, no (#5.7.1)", "5.7.1"),
        ("5.1.1. User unknown", "5.1.1"),
        ("5.1.1", "5.1.1"),
        ("5.1.2.3 is listed", None),
        ("from 5.1.2 years ago", None),
        ("", None),
    ],
)
def test_enhanced_code_is_found_where_servers_put_it(text, enhanced):
    assert classify(RCPT, 550, text).enhanced == enhanced


def test_words_are_one_clean_line_of_500_characters():
    result = classify(DOT, 550, "5.7.26 one\x1b[31m\n5.7.26 two\x00\n" + "x" * 900)
    assert result.text.startswith("5.7.26 one [31m two xxx")
    assert result.text.isprintable()
    assert len(result.text) == 500


@pytest.mark.parametrize(
    ("stage", "code", "text"),
    [
        *((RCPT, 550, f"5.1.{n} no") for n in (0, 1, 2, 3, 6, 10)),
        (RCPT, 550, "5.2.1 Mailbox disabled"),
        (DOT, 550, "5.1.1 unknown"),
        (RCPT, 550, "No such user here"),
        (RCPT, 550, "<a@b.no>: User unknown in virtual mailbox table"),
        (RCPT, 550, "Mailbox does not exist"),
        (RCPT, 550, "5.4.1 Recipient address rejected: Access denied. [XX]"),
        (RCPT, 556, "5.1.10 null MX"),
        (RCPT, 556, "does not take mail"),
        (RCPT, 550, "5.4.4 Host or domain name not found"),
    ],
)
def test_dead_address_is_hard(stage, code, text):
    assert is_hard(classify(stage, code, text))


@pytest.mark.parametrize(
    ("stage", "code", "text"),
    [
        (RCPT, 450, "4.1.1 unverified address"),
        (RCPT, 552, "5.2.2 mailbox full"),
        (DOT, 552, "5.3.4 too big"),
        (RCPT, 550, "no"),
        (DOT, 550, "User unknown"),
        (RCPT, 550, "5.7.1 blocked"),
        (MAIL, 550, "5.1.0 Address rejected"),
        (RCPT, 550, "5.4.4 unable to route"),
    ],
)
def test_anything_else_is_not_hard(stage, code, text):
    assert not is_hard(classify(stage, code, text))


def test_what_was_refused_here_is_local_and_not_hard():
    refused = decided_here(R, "needs SMTPUTF8")
    assert is_local(refused)
    assert not is_hard(refused)
    assert not is_local(decided_here(N, "closed"))
    assert not is_local(classify(RCPT, 550, "no"))


@pytest.mark.parametrize(
    ("code", "text", "slow"),
    [
        (421, "4.7.28 unusual rate", True),
        (421, "bye", True),
        (421, "4.3.2 service shutting down", False),
        (421, "4.3.2 too many connections", True),
        (450, "4.2.1 receiving mail too quickly", True),
        (454, "Throttling failure: Maximum sending rate exceeded.", True),
        (450, "4.7.1 Greylisted", False),
        (250, "ok", False),
        (550, "5.7.1 too many", False),
    ],
)
def test_destination_that_asks_for_less_is_heard(code, text, slow):
    assert asks_to_slow_down(classify(DOT, code, text)) is slow


# standards.md, "Mailbox providers" and "Bounces and complaints", line by line: what each code means wherever it comes.
STANDARDS = {
    "SPF": (("4.7.27", "5.7.27"), S),
    "DKIM": (("4.7.30", "5.7.30"), S),
    "DMARC": (("4.7.31", "5.7.31", "4.7.40", "5.7.40"), S),
    "alignment": (("4.7.32", "5.7.32"), S),
    "unauthenticated": (("4.7.26", "5.7.26"), S),
    "rate": (("4.7.28",), S),
    "Microsoft's requirements": (("5.7.515",), S),
    "sender, in general": (("5.7.0", "5.7.1", "5.7.9", "5.7.64", "5.7.606"), S),
    "unknown address": (("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"), R),
    "mailbox full": (("4.2.2",), D),
    "mailbox full for good": (("5.2.2",), R),
    "content": (("5.3.4",), R),
    "took too long": (("4.4.7", "4.4.1", "4.3.0"), D),
}


@pytest.mark.parametrize("row", STANDARDS)
def test_codes_of_the_standards_mean_what_they_say_at_every_stage(row):
    codes, outcome = STANDARDS[row]
    for enhanced in codes:
        for stage in (RCPT, DATA, DOT):
            for code in (421, 450, 451) if enhanced.startswith("4") else (550, 554):
                result = classify(stage, code, f"{enhanced} See the postmaster's pages")
                assert (result.outcome, result.enhanced, result.code) == (outcome, enhanced, code)
                is_dead = enhanced in STANDARDS["unknown address"][0]
                assert is_hard(result) == is_dead


@pytest.mark.parametrize(
    ("stage", "code", "text", "of_account"),
    [
        (CONNECT, 554, "5.7.1 no service for you", True),
        (AUTH, 535, "5.7.8 credentials invalid", True),
        (MAIL, 550, "5.1.8 Sender domain does not exist", True),
        (RCPT, 530, "5.7.0 Authentication required", True),
        (DOT, 454, "Throttling failure: Daily message quota exceeded.", True),
        (DOT, 550, "5.4.5 Daily user sending limit exceeded", True),
        (RCPT, 550, "5.1.90 Your message can't be sent because you've reached your daily limit for recipients", True),
        (DOT, 550, "5.7.26 unauthenticated", False),
        (RCPT, 550, "5.7.515 Access denied", False),
        (RCPT, 550, "5.7.1 refused", False),
    ],
)
def test_fault_of_the_account_alone_is_told_from_one_of_the_message(stage, code, text, of_account):
    result = classify(stage, code, text)
    assert result.outcome is S
    assert is_of_account(result) is of_account


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("4.2.0 Greylisted for 300 seconds", 300),
        ("Try again in 5 minutes", 300),
        ("4.7.1 rate limited, retry after 2 hours", 7200),
        ("wait 60s", 60),
        ("try again later", 0),
        ("4.2.2 mailbox of 5 minutes of fame is full", 0),
    ],
)
def test_wait_that_a_server_asks_for_is_understood(words, seconds):
    assert asked_wait(classify(Stage.RCPT, 450, words)) == seconds
