"""Logging in (RFC 4954): which mechanism, and that no secret comes back in a server's words."""

import base64
from typing import Final

import aiosmtplib

from app.delivery.smtp.account import AuthMethod, SmtpAccount

# What the server calls them; and in which order they are tried where the account leaves it open.
_MECHANISMS: Final = {
    AuthMethod.PLAIN: "plain",
    AuthMethod.LOGIN: "login",
    AuthMethod.CRAM_MD5: "cram-md5",
    AuthMethod.XOAUTH2: "xoauth2",
}
_ENCRYPTED: Final = (AuthMethod.PLAIN, AuthMethod.LOGIN, AuthMethod.CRAM_MD5)
_IN_CLEAR: Final = (AuthMethod.CRAM_MD5, AuthMethod.PLAIN, AuthMethod.LOGIN)
_NOT_KNOWN: Final = (500, 501, 502, 503, 504, 534)
"""Replies that are about the mechanism: some servers announce what they do not have. Wrong credentials are 535."""


async def log_in(client: aiosmtplib.SMTP, account: SmtpAccount) -> AuthMethod:
    """Log in as the account says; returns by which mechanism.

    XOAUTH2 is used only where the account asks for it: its password is no password. Raises aiosmtplib's
    SMTPAuthenticationError with the server's reply, and SMTPException where it offers no mechanism that fits.
    """
    name, password = account.username or "", account.password or ""
    offered = client.server_auth_methods
    is_encrypted = client.get_transport_info("sslcontext") is not None
    wanted = (_ENCRYPTED if is_encrypted else _IN_CLEAR) if account.auth is AuthMethod.AUTO else (account.auth,)
    fitting = [method for method in wanted if _MECHANISMS[method] in offered]
    if not fitting:
        if not offered:
            raise aiosmtplib.SMTPException(
                "the server offers no login"
                + ("" if is_encrypted else "; many do only once the connection is encrypted")
            )
        asked = ", ".join(_MECHANISMS[method].upper() for method in wanted)
        raise aiosmtplib.SMTPException(f"the server offers {', '.join(offered).upper()} to log in, not {asked}")
    for method in fitting:
        try:
            if method is AuthMethod.PLAIN:
                await client.auth_plain(name, password)
            elif method is AuthMethod.LOGIN:
                await client.auth_login(name, password)
            elif method is AuthMethod.CRAM_MD5:
                await client.auth_crammd5(name, password)
            else:
                await client.auth_xoauth2(name, password)
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code not in _NOT_KNOWN or method is fitting[-1]:
                raise
        else:
            return method
    raise AssertionError(fitting)


def without_secrets(account: SmtpAccount, words: str) -> str:
    """Return a server's words without the credentials that it may quote: some echo the command they refuse."""
    if not account.password:
        return words
    name, password = (account.username or "").encode(), account.password.encode()
    sent = (
        password, b"\0" + name + b"\0" + password, b"user=" + name + b"\1auth=Bearer " + password + b"\1\1",
    )  # fmt: skip
    forms = [account.password, *(base64.b64encode(each).decode() for each in sent)]
    for secret in sorted(forms, key=len, reverse=True):  # the shorter ones may be a part of the longer
        words = words.replace(secret, "…")
    return words
