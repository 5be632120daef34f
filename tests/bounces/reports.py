"""Messages that come to return paths, after the shapes that servers really write."""

from app.bounces.report import failure_report

RETURN_PATH = "b+token@news.example.com"
UNKNOWN_USER = "550 5.1.1 <{to}>: Recipient address rejected: User unknown in local recipient table"


def postfix_report(
    *,
    to: str,
    original_message_id: str = "<1@news.example.com>",
    return_path: str = RETURN_PATH,
    status: str = "5.1.1",
    diagnostic: str = UNKNOWN_USER,
) -> bytes:
    """Return a report as Postfix writes it."""
    returned = f"Message-ID: {original_message_id}\nTo: {to}\nSubject: News\n\n".encode()
    return failure_report(
        return_path=return_path,
        recipient=to,
        status=status,
        diagnostic=diagnostic.format(to=to),
        reporting_host="mx.example.org",
        returned=returned,
    )


def mail(text: str) -> bytes:
    """Return text as it comes over SMTP."""
    return text.lstrip("\n").replace("\n", "\r\n").encode()


def delivery_status(*blocks: str, words: str = "Your message could not be delivered.") -> bytes:
    """Return a report with these blocks about recipients."""
    return mail(f"""
From: MAILER-DAEMON@mx.example.org
To: {RETURN_PATH}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="A/mx"

--A/mx
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

{words}

--A/mx
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Arrival-Date: Mon, 23 Nov 2026 09:00:00 +0100 (CET)

{chr(10).join(block.strip() + chr(10) for block in blocks)}
--A/mx
Content-Description: Undelivered Message
Content-Type: message/rfc822

From: news@example.com
To: ola@example.org
Subject: News

Failed addresses follow: <kari@example.org>
--A/mx--
""")


def block(to: str, *, action: str = "failed", status: str = "5.1.1", diagnostic: str = "") -> str:
    """Return the block about one recipient."""
    code = f"Diagnostic-Code: {diagnostic}\n" if diagnostic else ""
    return f"Final-Recipient: rfc822; {to}\nAction: {action}\nStatus: {status}\n{code}"


QMAIL = mail("""
From: MAILER-DAEMON@mail.example.org
To: b+token@news.example.com
Subject: failure notice

Hi. This is the qmail-send program at mail.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ola@example.org>:
192.0.2.25 does not like recipient.
Remote host said: 550 5.1.1 <ola@example.org>: User unknown
Giving up on 192.0.2.25.

--- Below this line is a copy of the message.

Return-Path: <b+token@news.example.com>
To: ola@example.org
""")

QMAIL_LOCAL = mail("""
From: MAILER-DAEMON@mail.example.org
Subject: failure notice

Hi. This is the qmail-send program at mail.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ola@example.org>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.
""")

EXIM = mail("""
From: Mail Delivery System <Mailer-Daemon@exim.example.org>
To: b+token@news.example.com
X-Failed-Recipients: ola@example.org
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  ola@example.org
    host mx.example.org [192.0.2.25]
    SMTP error from remote mail server after RCPT TO:<ola@example.org>:
    552 5.2.2 <ola@example.org>: Mailbox is full

------ This is a copy of the message, including all the headers. ------

To: ola@example.org
""")

EXCHANGE = mail("""
From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.org>
To: <b+token@news.example.com>
Subject: =?utf-8?B?S2FuIGlra2UgbGV2ZXJlczogTnloZXRlcg==?=
X-Auto-Response-Suppress: DR, OOF, AutoReply
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="_7b5c4f6e_"

--_7b5c4f6e_
Content-Type: multipart/alternative; differences=Content-Type;
\tboundary="_alt_"

--_alt_
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: base64

TGV2ZXJpbmdlbiBtaXNseWt0ZXMgdGlsIG1vdHRha2VybmU6DQpvbGFAZXhhbXBsZS5vcmcNCg==

--_alt_
Content-Type: text/html; charset="utf-8"

<html><p>ola@example.org</p></html>
--_alt_--

--_7b5c4f6e_
Content-Type: message/delivery-status

Reporting-MTA: dns;OL1PR01MB0001.eurprd01.prod.exchangelabs.com
Received-From-MTA: dns;OL1PR01MB0002.eurprd01.prod.exchangelabs.com
Arrival-Date: Mon, 23 Nov 2026 08:00:00 +0000

Original-Recipient: rfc822;ola@example.org
Final-Recipient: rfc822;ola@example.org
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ola@example.org not found by SMTP
 address lookup

--_7b5c4f6e_
Content-Type: message/rfc822

To: ola@example.org

--_7b5c4f6e_--
""")

GMAIL = mail("""
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: b+token@news.example.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
MIME-Version: 1.0
Content-Type: multipart/report; boundary="000000000000abcd"; report-type=delivery-status

--000000000000abcd
Content-Type: text/plain; charset="UTF-8"

** Address not found **

Your message wasn't delivered to ola@example.org because the address couldn't be found.

--000000000000abcd
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Arrival-Date: Mon, 23 Nov 2026 00:00:00 -0800 (PST)
X-Original-Message-ID: <1@news.example.com>

Final-Recipient: rfc822; ola@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; gmail-smtp-in.l.google.com. (192.0.2.27, the server for the domain gmail.com.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
 550-5.1.1 double-checking the recipient's email address for typos or
 550 5.1.1 unnecessary spaces. https://support.google.com/mail/?p=NoSuchUser
Last-Attempt-Date: Mon, 23 Nov 2026 00:00:01 -0800 (PST)

--000000000000abcd
Content-Type: message/rfc822

To: ola@example.org

--000000000000abcd--
""")

VACATION = mail("""
From: Ola Nordmann <ola@example.org>
To: b+token@news.example.com
Subject: Auto: News
Auto-Submitted: auto-replied (vacation)
Precedence: bulk

Hi. This is the week I'm away. Your message could not be delivered to me in person.
Ask <kari@example.org>: she knows.
""")

OUTLOOK_OUT_OF_OFFICE = mail("""
From: Ola Nordmann <ola@example.org>
To: b+token@news.example.com
Subject: =?utf-8?Q?Frav=C3=A6r:_News?=

Jeg er tilbake 1. desember.
""")

AUTORESPONDER = mail("""
From: support@example.org
Subject: We have received your message
X-Autoreply: yes

We answer within two days.
""")

COMPLAINT = mail("""
From: feedback@example.net
Subject: FW: News
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="arf"

--arf
Content-Type: text/plain

This is an email abuse report for a message received from 192.0.2.1.

--arf
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Final-Recipient: rfc822; ola@example.org
Action: failed

--arf
Content-Type: message/rfc822

To: ola@example.org

--arf--
""")
