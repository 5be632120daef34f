"""Opening: plain, STARTTLS, TLS and AUTH, each followed by messages on the transport taken over from aiosmtplib."""

import asyncio
import ssl

import aiosmtplib
import pytest
import uvloop

from app.delivery.replies import Outcome, SendResult, Stage
from app.delivery.smtp.account import AuthMethod, Pipelining, Security, SmtpAccount, Timeouts
from app.delivery.smtp.connection import open_connection
from tests.delivery.feeds import ListFeed, account, message, send
from tests.delivery.smtp_server import USUAL_KEYWORDS, SmtpServer

CREDENTIALS = {"username": "ola", "password": "hem/me?lig"}
USERS = {"ola": "hem/me?lig"}


@pytest.fixture(scope="session")
def secured(certificate):
    """The certificate's file, and a server context with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return certificate[0], context


async def send_securely(secured, security, users, keywords, level):
    ca_file, context = secured
    tls = {} if security is Security.NONE else {"tls": context, "implicit_tls": security is Security.TLS}
    more = CREDENTIALS if users else {}
    feed = ListFeed(message(1), message(2), message(3), content=b"x" * 200_000)
    async with SmtpServer(users=users, keywords=keywords, **tls) as server:
        await send(server, feed, security=security, ca_file=ca_file, pipelining=level, **more)
        assert len(server.ledger) == 3
        assert all(len(entry.content) == 200_002 for entry in server.ledger)
        assert any(line.startswith("AUTH") for line in server.commands) == bool(users)
        assert ("STARTTLS" in server.commands) == (security is Security.STARTTLS)
    assert {result.outcome for result in feed.results.values()} == {Outcome.ACCEPTED}


@pytest.mark.parametrize("keywords", [USUAL_KEYWORDS, ("8BITMIME",)], ids=["pipelining", "lockstep"])
@pytest.mark.parametrize("users", [None, USERS], ids=["open", "auth"])
@pytest.mark.parametrize("security", Security)
async def test_messages_go_over_the_transport_that_was_handed_over(secured, security, users, keywords):
    await send_securely(secured, security, users, keywords, None)


@pytest.mark.parametrize("security", Security)
def test_transport_is_handed_over_under_uvloop_too(secured, security):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for level in Pipelining:
            runner.run(send_securely(secured, security, USERS, USUAL_KEYWORDS, level))


async def test_aiosmtplib_still_has_what_the_handover_takes():
    async with SmtpServer() as server:
        client = aiosmtplib.SMTP(hostname=server.host, port=server.port, local_hostname="client.example")
        await client.connect()
        assert client.transport is client.protocol.transport
        assert client.transport.get_protocol() is client.protocol
        assert client.protocol._buffer == b""
        client.close()


async def test_server_that_speaks_out_of_turn_gets_no_message():
    feed = ListFeed(message(1))
    async with SmtpServer(r"ehlo *: raw 250 ok\r\n421 too busy\r\n") as server:
        result = await open_connection(account(server), feed)
    assert isinstance(result, SendResult)
    assert result.outcome is Outcome.DEFERRED
    assert feed.taken == []


REFUSALS = {
    # what happens: script, result
    "greeting 421": ("connect *: 421 4.3.2 too busy; close", Outcome.DEFERRED, 421),
    "greeting 554": ("connect *: 554 5.7.1 no", Outcome.SENDER_FAULT, 554),
    "greeting garbage": ("connect *: raw HTTP/1.1 400\\r\\n", Outcome.DEFERRED, None),
    "closed at once": ("connect *: close", Outcome.DEFERRED, None),
    "no greeting": ("connect *: stall", Outcome.DEFERRED, None),
    "EHLO 421": ("ehlo *: 421 4.3.2 too busy; close", Outcome.DEFERRED, 421),
    "EHLO 550": ("ehlo *: 550 5.7.1 no", Outcome.SENDER_FAULT, 550),
}  # fmt: skip


@pytest.mark.parametrize("event", REFUSALS)
async def test_server_that_does_not_let_us_in(event):
    script, outcome, code = REFUSALS[event]
    feed = ListFeed(message(1))
    async with SmtpServer(script) as server:
        result = await open_connection(account(server, timeouts=Timeouts(connect=0.2)), feed)
    assert isinstance(result, SendResult)
    assert (result.outcome, result.code) == (outcome, code)
    assert feed.taken == []


@pytest.mark.parametrize(
    ("script", "outcome", "code"),
    [
        ("", Outcome.SENDER_FAULT, 535),
        ("auth *: 454 4.7.0 Temporary authentication failure", Outcome.DEFERRED, 454),
        ("auth *: close", Outcome.DEFERRED, None),
    ],
)
async def test_refused_login_stops_and_a_temporary_one_waits(script, outcome, code):
    async with SmtpServer(script, users={"ola": "another"}) as server:
        result = await open_connection(account(server, **CREDENTIALS), ListFeed(message(1)))
    assert isinstance(result, SendResult)
    assert (result.outcome, result.code) == (outcome, code)
    assert CREDENTIALS["password"] not in repr(result)


MECHANISMS = {
    AuthMethod.PLAIN: "PLAIN", AuthMethod.LOGIN: "LOGIN",
    AuthMethod.CRAM_MD5: "CRAM-MD5", AuthMethod.XOAUTH2: "XOAUTH2",
}  # fmt: skip


@pytest.mark.parametrize("security", Security)
@pytest.mark.parametrize("method", MECHANISMS)
async def test_login_by_every_mechanism(secured, security, method):
    ca_file, context = secured
    tls = {} if security is Security.NONE else {"tls": context, "implicit_tls": security is Security.TLS}
    feed = ListFeed(message(1))
    async with SmtpServer(users=USERS, mechanisms=" ".join(MECHANISMS.values()), **tls) as server:
        await send(server, feed, security=security, ca_file=ca_file, auth=method, **CREDENTIALS)
        assert [line.split()[1] for line in server.commands if line.startswith("AUTH")] == [MECHANISMS[method]]
        wrong = {**CREDENTIALS, "password": "wrong"}
        refused = await open_connection(
            account(server, security=security, ca_file=ca_file, auth=method, **wrong), ListFeed()
        )
    assert feed.outcome(1) is Outcome.ACCEPTED
    assert isinstance(refused, SendResult)
    assert (refused.outcome, refused.code, refused.stage) == (Outcome.SENDER_FAULT, 535, Stage.AUTH)


@pytest.mark.parametrize(
    ("security", "offered", "chosen"),
    [
        (Security.NONE, "PLAIN LOGIN CRAM-MD5 XOAUTH2", "CRAM-MD5"),  # no password in clear where there is a choice
        (Security.TLS, "LOGIN CRAM-MD5 XOAUTH2 PLAIN", "PLAIN"),
        (Security.NONE, "XOAUTH2 LOGIN", "LOGIN"),
    ],
)
async def test_mechanism_is_chosen_by_what_is_offered_and_whether_anybody_can_listen(
    secured, security, offered, chosen
):
    ca_file, context = secured
    tls = {} if security is Security.NONE else {"tls": context, "implicit_tls": True}
    async with SmtpServer(users=USERS, mechanisms=offered, **tls) as server:
        feed = ListFeed(message(1))
        await send(server, feed, security=security, ca_file=ca_file, **CREDENTIALS)
        assert [line.split()[1] for line in server.commands if line.startswith("AUTH")] == [chosen]


async def test_mechanism_that_is_announced_but_not_known_leaves_the_next_one():
    feed = ListFeed(message(1))
    async with SmtpServer("ehlo *: 250-scripted|250 AUTH CRAM-MD5 LOGIN", users=USERS) as server:
        await send(server, feed, **CREDENTIALS)
        assert [line.split()[1] for line in server.commands if line.startswith("AUTH")] == ["CRAM-MD5", "LOGIN"]
    assert feed.outcome(1) is Outcome.ACCEPTED


async def test_account_that_asks_for_a_mechanism_the_server_lacks_says_which_it_has():
    async with SmtpServer(users=USERS) as server:
        result = await open_connection(account(server, auth=AuthMethod.XOAUTH2, **CREDENTIALS), ListFeed())
    assert isinstance(result, SendResult)
    assert result.outcome is Outcome.SENDER_FAULT
    assert result.text == "the server offers PLAIN, LOGIN to log in, not XOAUTH2"


@pytest.mark.parametrize("more", [CREDENTIALS, {"security": Security.STARTTLS}], ids=["AUTH", "STARTTLS"])
async def test_server_without_what_the_account_needs_is_our_fault(more):
    async with SmtpServer() as server:
        result = await open_connection(account(server, **more), ListFeed(message(1)))
    assert isinstance(result, SendResult)
    assert result.outcome is Outcome.SENDER_FAULT


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_certificate_nobody_vouches_for_is_our_fault(secured, security):
    async with SmtpServer(tls=secured[1], implicit_tls=security is Security.TLS) as server:
        result = await open_connection(account(server, security=security), ListFeed(message(1)))
    assert isinstance(result, SendResult)
    assert (result.outcome, result.stage) == (Outcome.SENDER_FAULT, Stage.TLS)


async def test_port_nobody_listens_on_is_tried_again():
    async with SmtpServer() as server:
        port = server.port
    result = await open_connection(SmtpAccount("127.0.0.1", port), ListFeed(message(1)))
    assert isinstance(result, SendResult)
    assert (result.outcome, result.stage) == (Outcome.DEFERRED, Stage.CONNECT)


async def test_server_that_knows_only_helo_is_served():
    feed = ListFeed(message(1))
    async with SmtpServer("ehlo 1: 502 5.5.1 what?") as server:
        server.rules[0] = server.rules[0].__class__("ehlo", "EHLO", server.rules[0].steps)
        await send(server, feed)
    assert feed.outcome(1) is Outcome.ACCEPTED
