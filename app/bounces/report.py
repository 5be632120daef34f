"""Writing a failure report as a mail server does: for trying out how bounces are taken in."""

from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from app.platform.clock import now


def failure_report(
    *,
    return_path: str,
    recipient: str,
    status: str,
    diagnostic: str,
    reporting_host: str,
    returned: bytes = b"",
) -> bytes:
    """Return the report (RFC 6522, RFC 3464) that `reporting_host` sends to `return_path` for an undelivered message.

    `status` is the RFC 3463 code and `diagnostic` the receiving server's reply, such as `550 5.1.1 User unknown`.
    `returned` is the undelivered message; only its header fields go along (text/rfc822-headers). The result has CRLF
    line ends, ready for DATA.
    """
    report = EmailMessage(policy=SMTP)
    report["From"] = f"Mail Delivery System <MAILER-DAEMON@{reporting_host}>"
    report["To"] = return_path
    report["Subject"] = "Undelivered Mail Returned to Sender"
    report["Date"] = format_datetime(now())
    report["Message-ID"] = make_msgid(domain=reporting_host)
    report["Auto-Submitted"] = "auto-replied"
    report.set_content(
        f"This is the mail system at host {reporting_host}.\n\n"
        "I'm sorry to have to inform you that your message could not be delivered to one or more recipients.\n\n"
        f"<{recipient}>: {diagnostic}\n"
    )
    report.make_mixed()
    report.attach(_delivery_status(recipient=recipient, status=status, diagnostic=diagnostic, host=reporting_host))
    report.attach(_returned_headers(returned))
    report.replace_header("Content-Type", "multipart/report")
    report.set_param("report-type", "delivery-status")
    return report.as_bytes()


def _delivery_status(*, recipient: str, status: str, diagnostic: str, host: str) -> EmailMessage:
    about_message, about_recipient = Message(), Message()
    about_message["Reporting-MTA"] = f"dns; {host}"
    about_recipient["Final-Recipient"] = f"rfc822; {recipient}"
    about_recipient["Action"] = "failed"
    about_recipient["Status"] = status
    about_recipient["Diagnostic-Code"] = f"smtp; {diagnostic}"
    part = EmailMessage(policy=SMTP)
    part["Content-Type"] = "message/delivery-status"
    part.set_payload([about_message, about_recipient])
    return part


def _returned_headers(returned: bytes) -> EmailMessage:
    head = returned.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    part = EmailMessage(policy=SMTP)
    part.set_content(head.decode("utf-8", "replace") + "\n", subtype="rfc822-headers")
    return part
