import pytest

from app.delivery.smtp.account import Pipelining, Security, SmtpAccount, SmtpUrlError, parse_smtp_url


@pytest.mark.parametrize(
    ("url", "security", "port"),
    [
        ("smtp://mail.example", Security.NONE, 25),
        ("smtp+starttls://mail.example", Security.STARTTLS, 587),
        ("smtps://mail.example/", Security.TLS, 465),
        ("smtps://mail.example:2465", Security.TLS, 2465),
        ("smtp://[::1]:2525", Security.NONE, 2525),
    ],
)
def test_scheme_decides_security_and_port(url, security, port):
    account = parse_smtp_url(url)
    assert (account.security, account.port) == (security, port)


def test_everything_in_a_url_is_read():
    account = parse_smtp_url(
        "smtp://ola%40x.no:p%2Fa%3Fs%23s@mail.example?pipelining=envelope&local_hostname=out.example&ca_file=ca.pem"
        "&verify=no&max_messages=100&timeout=20"
    )
    assert (account.username, account.password) == ("ola@x.no", "p/a?s#s")
    assert account.pipelining is Pipelining.ENVELOPE
    assert (account.local_hostname, str(account.ca_file)) == ("out.example", "ca.pem")
    assert (account.verify, account.max_messages) == (False, 100)
    assert (account.timeouts.dot, account.timeouts.idle) == (20, 10)


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("http://u:hemmelig@x", "smtp://"),
        ("smtp://u:hemmelig@", "host"),
        ("smtp://u:hemmelig@x:99999", "port"),
        ("smtp://u:hemmelig@x:0", "port"),
        ("smtp://u:hemmelig@x:a", "port"),
        ("smtp://:hemmelig@x", "user name"),
        ("smtp://u@x", "password"),
        ("smtp://u:hem/hemmelig@x", "%"),
        ("smtp://u:hem?hemmelig@x", "%|option|password|port"),
        ("smtp://u:hem#hemmelig@x", "%|port"),
        ("smtp://u:hemmelig@x/inbox", "host"),
        ("smtp://u:hemmelig@x?colour=red", "known are"),
        ("smtp://u:hemmelig@x?colour", "name=value"),
        ("smtp://u:hemmelig@x?pipelining=some", "pipelining"),
        ("smtp://u:hemmelig@x?verify=maybe", "verify"),
        ("smtp://u:hemmelig@x?max_messages=0", "max_messages"),
        ("smtp://u:hemmelig@x?timeout=nan", "timeout"),
        ("smtp://u:hemmelig@x?local_hostname=a%0d%0ab", "local_hostname"),
    ],
)
def test_unusable_url_is_refused_by_its_part_and_without_its_password(url, names):
    with pytest.raises(SmtpUrlError, match=names) as caught:
        parse_smtp_url(url)
    assert "hemmelig" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_password_does_not_show():
    assert "hemmelig" not in repr(SmtpAccount("x", 25, username="u", password="hemmelig"))
