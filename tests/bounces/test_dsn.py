"""Reading what comes to return paths."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bounces.dsn import ReportKind, read_report
from tests.bounces import reports
from tests.bounces.reports import block, delivery_status, postfix_report

OLA, KARI = "ola@example.org", "kari@example.org"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (postfix_report(to=OLA), "5.1.1"),
        (reports.EXCHANGE, "5.1.10"),
        (reports.GMAIL, "5.1.1"),
        (reports.QMAIL, "5.1.1"),
        (reports.QMAIL_LOCAL, "5.1.1"),
    ],
    ids=["postfix", "exchange", "gmail", "qmail", "qmail-local"],
)
def test_an_unknown_address_is_a_hard_bounce_whoever_reports_it(octets, status):
    report = read_report(octets, address=OLA)
    assert (report.kind, report.status) == (ReportKind.BOUNCE_HARD, status)


def test_the_servers_words_are_kept_in_one_line():
    report = read_report(reports.GMAIL, address=OLA)
    assert report.detail.startswith("550-5.1.1 The email account that you tried to reach does not exist.")
    assert read_report(reports.QMAIL, address=OLA).detail == (
        "192.0.2.25 does not like recipient. Remote host said: 550 5.1.1 <ola@example.org>: User unknown "
        "Giving up on 192.0.2.25."
    )


def test_a_full_mailbox_is_a_soft_bounce():
    report = read_report(reports.EXIM, address=OLA)
    assert (report.kind, report.status) == (ReportKind.BOUNCE_SOFT, "5.2.2")


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind"),
    [
        ("5.1.1", 'X-Postfix; unknown user: "ola"', ReportKind.BOUNCE_HARD),
        ("5.0.0", "smtp; 550 No such user here", ReportKind.BOUNCE_HARD),
        ("5.4.4", "X-Postfix; Host or domain name not found. Name service error", ReportKind.BOUNCE_HARD),
        ("5.1.2", "", ReportKind.BOUNCE_HARD),
        ("5.2.1", "smtp; 550 5.2.1 mailbox disabled", ReportKind.BOUNCE_HARD),
        ("4.4.7", "smtp; 451 4.7.1 Greylisted, come back later", ReportKind.BOUNCE_SOFT),
        ("4.4.1", "X-Postfix; connect to mx.example.org[192.0.2.25]:25: timed out", ReportKind.BOUNCE_SOFT),
        ("5.3.4", "smtp; 552 5.3.4 Message size exceeds limit", ReportKind.BOUNCE_SOFT),
        ("5.0.0", "smtp; 554 Something of our own", ReportKind.BOUNCE_SOFT),
        ("5.7.1", "smtp; 550 5.7.1 <ola@example.org>: this mailing list takes members only", ReportKind.BOUNCE_SOFT),
        ("5.7.26", "smtp; 550-5.7.26 Your email has been blocked because the sender is unauthenticated",
         ReportKind.SENDER_FAULT),
        ("5.7.1", "smtp; 554 5.7.1 Service unavailable; Client host blocked using Spamhaus", ReportKind.SENDER_FAULT),
    ],
)  # fmt: skip
def test_a_failure_is_judged_by_the_reply_it_quotes_else_by_its_status(status, diagnostic, kind):
    octets = delivery_status(block(OLA, status=status, diagnostic=diagnostic))
    assert read_report(octets, address=OLA).kind is kind


def test_of_several_recipients_the_one_of_the_return_path_counts():
    octets = delivery_status(
        block(KARI, status="5.1.1"), block(OLA, status="4.2.2", diagnostic="smtp; 452 4.2.2 Mailbox full")
    )
    assert read_report(octets, address="Ola@Example.org").kind is ReportKind.BOUNCE_SOFT
    assert read_report(octets, address=KARI).kind is ReportKind.BOUNCE_HARD


def test_a_recipient_that_was_reached_has_not_bounced_though_others_have():
    octets = delivery_status(block(KARI), block(OLA, action="relayed", status="2.0.0"))
    assert read_report(octets, address=OLA).kind is ReportKind.DELIVERED


def test_a_forwarded_recipient_is_the_only_one_that_failed():
    octets = delivery_status(block("one@example.net", action="delivered", status="2.0.0"), block("two@example.net"))
    assert read_report(octets, address=OLA).kind is ReportKind.BOUNCE_HARD


def test_failures_of_several_strangers_tell_nothing_about_ours():
    octets = delivery_status(block("one@example.net"), block("two@example.net"))
    assert read_report(octets, address=OLA).kind is ReportKind.UNKNOWN


def test_the_original_recipient_is_known_behind_its_encoding():
    about = "Original-Recipient: rfc822;ola+2Bnews@example.org\n" + block("x@example.net", status="5.2.1")
    octets = delivery_status(about, block("two@example.net"))
    assert read_report(octets, address="ola+news@example.org").status == "5.2.1"


def test_a_delay_notice_is_no_bounce():
    octets = delivery_status(block(OLA, action="delayed", status="4.4.1"), words="This is a WARNING message only.")
    report = read_report(octets, address=OLA)
    assert (report.kind, report.action) == (ReportKind.DELAYED, "delayed")


@pytest.mark.parametrize(
    "octets", [reports.VACATION, reports.OUTLOOK_OUT_OF_OFFICE, reports.AUTORESPONDER], ids=["marked", "subject", "x"]
)
def test_an_auto_reply_is_no_bounce(octets):
    assert read_report(octets, address=OLA).kind is ReportKind.AUTO_REPLY


def test_a_complaint_is_no_bounce():
    assert read_report(reports.COMPLAINT, address=OLA).kind is ReportKind.COMPLAINT


def test_words_of_the_returned_message_are_not_read_as_a_report():
    octets = delivery_status(block(OLA, action="delayed", status="4.4.1"))
    assert read_report(octets, address=KARI).kind is ReportKind.DELAYED


def test_a_persons_answer_is_unknown_and_keeps_its_text():
    report = read_report(reports.mail("\nFrom: ola@example.org\nSubject: Re: News\n\nThank you!\n"), address=OLA)
    assert (report.kind, report.detail) == (ReportKind.UNKNOWN, "Thank you!")


def test_a_report_that_was_cut_off_is_read_as_far_as_it_goes():
    octets = postfix_report(to=OLA)
    assert read_report(octets[: octets.index(b"text/rfc822-headers")], address=OLA).kind is ReportKind.BOUNCE_HARD


def test_a_report_with_utf8_addresses_is_read():
    octets = delivery_status(block("bjørn@example.org").replace("rfc822;", "utf-8;"))
    octets = octets.replace(b"message/delivery-status", b"message/global-delivery-status")
    assert read_report(octets, address="bjørn@example.org").kind is ReportKind.BOUNCE_HARD


def test_the_text_of_a_failure_cannot_break_a_line_or_grow_without_limit():
    octets = delivery_status(
        block(OLA, diagnostic="smtp; 550 5.1.1 \x00\x1b[31m\N{RIGHT-TO-LEFT OVERRIDE}" + "x" * 900)
    )
    detail = read_report(octets, address=OLA).detail
    assert len(detail) == 500
    assert detail.isprintable()


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HOSTILE = {
    "ten thousand parts": MIXED + b"--b\r\n\r\nx\r\n" * 200_000,
    "deep": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(30_000)),
    "deep messages": b"Content-Type: message/rfc822\r\n\r\n" * 60_000,
    "deep, then long": b"Content-Type: message/rfc822\r\n\r\n" * 15 + b"a\n" * 2**20,
    "empty blocks": b"Content-Type: message/delivery-status\r\n\r\n" + b"\n" * 2**21,
    "many blocks": b"Content-Type: message/delivery-status\r\n\r\n" + b"\nAction: failed\n" * 100_000,
    "one parameter": b'Content-Type: multipart/report; a="' + b";" * 2**21 + b"\r\n\r\nx",
    "one line": b"\r\n\r\nThis Message was undeliverable due to the following reason:\r\n" + b"<" * 2**21,
    "half encoded words": b"Subject: " + b"=?utf-8?q?" * 200_000 + b"\r\n\r\nx",
    "nested comments": b"X-Failed-Recipients: " + b"(" * 2**20 + b"\r\n\r\nx",
    "every octet": bytes(range(256)) * 8192,
    "nothing": b"",
}


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_mail_costs_little_and_never_raises(octets):
    started = time.process_time()
    report = read_report(octets, address=OLA)
    assert report.kind in {ReportKind.UNKNOWN, ReportKind.DELAYED}
    assert time.process_time() - started < 2  # 0.3 s on the slowest machine it was measured on


@given(cut=st.integers(0, 3000), noise=st.binary(max_size=200), at=st.integers(0, 3000))
def test_a_damaged_report_is_read_or_not_but_never_raises(cut, noise, at):
    octets = reports.EXCHANGE[:at] + noise + reports.EXCHANGE[at:][: max(cut, 1)]
    assert len(read_report(octets, address=OLA).detail) <= 500


@given(st.binary(max_size=500))
def test_any_octets_are_read(octets):
    read_report(b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n" + octets, address=OLA)
