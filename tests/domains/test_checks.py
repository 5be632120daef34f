"""What DNS says of a domain, and what it should say (D6), against a scripted DNS server."""

from ipaddress import ip_address

import pytest

from app.domains.checks import PublicKey, Subject, check
from app.domains.dmarc import Policy, find_policy, walked
from app.domains.models import Algorithm, KeyState
from app.domains.resolving import Dns, Kind, Outcome
from app.domains.spf import Us, check_spf
from tests.domains.dns_server import Fault, running_dns

DOMAIN = "news.example.com"
US = Us((ip_address("192.0.2.7"),))
RSA = PublicKey(1, DOMAIN, "sel", Algorithm.RSA, KeyState.ACTIVE, "MIIB" + "A" * 388)
ED25519 = PublicKey(2, DOMAIN, "ed", Algorithm.ED25519, KeyState.ACTIVE, "B" * 43 + "=")


@pytest.fixture
async def server():
    async with running_dns() as server:
        server.put(DOMAIN, "TXT", "v=spf1 ip4:192.0.2.0/24 ~all", "some-verification=1")
        server.put(DOMAIN, "MX", "10 mx.example.com.")
        server.put("mx.example.com", "A", "192.0.2.1")
        server.put(f"sel._domainkey.{DOMAIN}", "TXT", f"v=DKIM1; k=rsa; p={RSA.public_key}")
        server.put(f"ed._domainkey.{DOMAIN}", "TXT", f"v=DKIM1; k=ed25519; p={ED25519.public_key}")
        server.put("_dmarc.example.com", "TXT", "v=DMARC1; p=none; rua=mailto:d@example.com")
        server.put("example.com", "A", "192.0.2.1")
        yield server


def asking(server, timeout=0.4):
    return Dns([("127.0.0.1", server.port)], timeout)


async def checked(server, *keys, us=US, return_domain="bounces.example.com"):
    server.put("bounces.example.com", "MX", "10 mx.example.com.")
    return await check(
        Subject(1, DOMAIN, keys or (RSA, ED25519)), dns=asking(server), us=us, return_domain=return_domain
    )


def codes(report, *severities):
    return {found.code for found in report.findings if not severities or found.severity.value in severities}


async def test_a_domain_that_is_set_up_passes(server):
    report = await checked(server)
    assert codes(report) == {"mx_ok", "spf_ok", "dkim_ok", "dmarc_ok"}
    assert report.seen == {1, 2}
    assert report.is_certain
    assert not report.fails


async def test_a_bare_domain_is_told_every_record_it_needs(server):
    server.records = {DOMAIN: {"A": ["192.0.2.9"]}}
    report = await checked(server)
    assert codes(report, "error") == {"spf_missing", "dkim_missing", "dmarc_missing"}
    right = {found.code: found.right for found in report.findings if found.right}
    assert right["spf_missing"].value == "v=spf1 ip4:192.0.2.7 ~all"
    assert right["dkim_missing"].name in (f"sel._domainkey.{DOMAIN}", f"ed._domainkey.{DOMAIN}")
    assert right["dmarc_missing"].name == f"_dmarc.{DOMAIN}"
    assert codes(report, "warning") >= {"mx_implicit"}


async def test_a_domain_that_does_not_exist_fails(server):
    del server.records[DOMAIN]
    assert "domain_missing" in codes(await checked(server), "error")


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.SILENCE, Fault.GARBAGE])
async def test_dns_that_does_not_answer_speaks_neither_for_nor_against(server, fault):
    for name, kind in (
        (DOMAIN, "TXT"),
        (DOMAIN, "MX"),
        (f"sel._domainkey.{DOMAIN}", "TXT"),
        (f"_dmarc.{DOMAIN}", "TXT"),
    ):
        server.faults[name, kind] = fault
    report = await checked(server)
    assert codes(report, "warning") == {"spf_unavailable", "mx_unavailable", "dkim_unavailable", "dmarc_unavailable"}
    assert not report.fails
    assert not report.is_certain


async def test_a_truncated_answer_is_asked_for_by_tcp_and_a_huge_one_is_read(server):
    server.put(DOMAIN, "TXT", "v=spf1 ip4:192.0.2.7 ~all", *(f"verification-{n}={'x' * 300}" for n in range(40)))
    server.faults[DOMAIN, "MX"] = Fault.TRUNCATED
    assert not (await checked(server)).fails
    assert server.asked[DOMAIN, "TXT", "tcp"] == server.asked[DOMAIN, "MX", "tcp"] == 1


async def test_a_question_is_asked_once_and_chains_of_aliases_are_followed(server):
    name = f"sel._domainkey.{DOMAIN}"
    record = server.records.pop(name)
    server.records |= {
        name: {"CNAME": ["a.example.net."]},
        "a.example.net": {"CNAME": ["b.example.net."]},
        "b.example.net": record,
    }
    server.lazy = {name}
    assert 1 in (await checked(server)).seen
    assert max(server.asked.values()) == 1

    server.records["b.example.net"] = {"CNAME": ["a.example.net."]}
    assert "dkim_unavailable" in codes(await checked(server), "warning")


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ("v=spf1 ip4:198.51.100.1 ~all", "spf_not_us"),
        ("v=spf1 ip4:192.0.2.7 +all", "spf_anyone"),
        ("v=spf1 +all", "spf_anyone"),
        ("v=spf1 ip4:192.0.2.7", "spf_no_end"),
        ("v=spf1 ip4:192.0.2.7 ptr ~all", "spf_ptr"),
        ("v=spf1 ip4:192.0.2.999 ~all", "spf_syntax"),
        ("v=spf1 ip4:192.0.2.7 include ~all", "spf_syntax"),
        ("v=spf1 ipv4:192.0.2.7 ~all", "spf_syntax"),
        ("v=spf1 a:mx.example.com/33 ~all", "spf_syntax"),
        ("v=spf1 ip4:192.0.2.7 redirect=a.example redirect=b.example", "spf_syntax"),
        ("v=spf1 ip4:192.0.2.7 include:nothing.example ~all", "spf_reference"),
        ("v=spf1 ip4:192.0.2.7 include:loop.example ~all", "spf_loop"),
        ("v=spf1 ip4:192.0.2.7 a:v1.example a:v2.example a:v3.example ~all", "spf_voids"),
        ("v=spf1 ip4:192.0.2.7 exists:%{i}.example ~all", None),
        ("v=spf1 include:pool.example -all", None),
        ("v=spf1 a:host.example/24 -all", None),
        ("v=spf1 mx ip4:192.0.2.7 -all", None),
        ("V=SPF1 ?ip6:2001:db8::/32 IP4:192.0.2.7 exp=explain.example x-other=1 -ALL", None),
        ("v=spf1 redirect=pool.example", None),
    ],
)
async def test_an_spf_record_is_read_as_receivers_read_it(server, record, code):
    server.put(DOMAIN, "TXT", record)
    server.put("loop.example", "TXT", "v=spf1 include:loop.example ~all")
    server.put("pool.example", "TXT", "v=spf1 ip4:192.0.2.7 -all")
    server.put("host.example", "A", "192.0.2.200")
    server.put("host.example", "AAAA", "2001:db8::1")
    found = {each.code for each in await check_spf(asking(server), domain=DOMAIN, us=US)} - {"spf_macro"}
    assert found == {code or "spf_ok"}


@pytest.mark.parametrize(
    ("includes", "code"), [(9, "spf_ok"), (10, "spf_ok"), (11, "spf_lookups"), (60, "spf_lookups")]
)
async def test_spf_lookups_are_counted_through_includes(server, includes, code):
    """D6: at most 10, here one in the record and one in each that is included by the one before."""
    server.put(DOMAIN, "TXT", "v=spf1 ip4:192.0.2.7 include:s1.example ~all")
    for number in range(1, includes):
        server.put(f"s{number}.example", "TXT", f"v=spf1 include:s{number + 1}.example ~all")
    server.put(f"s{includes}.example", "TXT", "v=spf1 ~all")
    found = {each.code: each for each in await check_spf(asking(server), domain=DOMAIN, us=US)}
    assert set(found) == {code}
    if includes == 11:
        assert "takes 11 look-ups" in found[code].detail


async def test_two_spf_records_are_none(server):
    server.put(DOMAIN, "TXT", "v=spf1 ip4:192.0.2.7 ~all", "v=spf1 mx ~all")
    assert "spf_several" in codes(await checked(server), "error")


async def test_the_record_that_would_let_us_send_keeps_what_is_there(server):
    server.put(DOMAIN, "TXT", "v=spf1 ip4:198.51.100.1 -all")
    (found,) = await check_spf(asking(server), domain=DOMAIN, us=Us(include="_spf.us.example"))
    assert (found.code, found.right.value) == ("spf_not_us", "v=spf1 ip4:198.51.100.1 include:_spf.us.example -all")


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([f"v=DKIM1; k=rsa; p={RSA.public_key[:-4]}AAAB"], "dkim_differs"),
        ([f"v=DKIM1; k=ed25519; p={RSA.public_key}"], "dkim_differs"),
        (["v=DKIM1; k=rsa; p="], "dkim_revoked"),
        (["hello"], "dkim_differs"),
        ([f"v=DKIM1; h=sha1; p={RSA.public_key}"], "dkim_differs"),
        ([f"v=DKIM1; p={RSA.public_key}", "v=DKIM1; p=AAAA"], "dkim_several"),
        ([f"v=DKIM1; t=y; p={RSA.public_key}"], "dkim_test"),
        ([f"p={RSA.public_key[:100]} {RSA.public_key[100:]}"], "dkim_ok"),
    ],
)
async def test_a_keys_record_has_to_be_the_keys(server, records, code):
    server.put(f"sel._domainkey.{DOMAIN}", "TXT", *records)
    report = await checked(server, RSA)
    assert {each for each in codes(report) if each.startswith("dkim")} == {code}
    assert (1 in report.seen) == (code in ("dkim_ok", "dkim_test"))


async def test_ed25519_alone_is_warned_of_and_a_retiring_key_is_still_looked_for(server):
    retiring = PublicKey(3, DOMAIN, "old", Algorithm.RSA, KeyState.RETIRING, "MIIB")
    report = await checked(server, ED25519, retiring)
    assert codes(report, "warning") == {"dkim_no_rsa", "dkim_missing"}
    assert not report.fails


@pytest.mark.parametrize(
    ("record", "code", "severity"),
    [
        ("v=DMARC1; p=reject; rua=mailto:d@example.com", "dmarc_ok", "ok"),
        ("v=DMARC1; p=reject; pct=50; rf=afrf; ri=3600; rua=mailto:d@example.com", "dmarc_gone", "note"),
        ("v=DMARC1; p=reject; t=y; np=reject; psd=n; rua=mailto:d@example.com", "dmarc_test", "note"),
        ("v=DMARC1; p=none", "dmarc_no_reports", "note"),
        ("v=DMARC1; p=none; rua=d@example.com", "dmarc_syntax", "warning"),
        ("v=DMARC1; p=all", "dmarc_syntax", "error"),
        ("v=DMARC1; fo=1", "dmarc_syntax", "error"),
        ("v=DMARC1; p=none; np=maybe; rua=mailto:d@example.com", "dmarc_syntax", "warning"),
        ("v=DMARC1; p=none; x=1; rua=mailto:d@example.com", "dmarc_unknown", "note"),
        ("v=DMARC2; p=none", "dmarc_missing", "error"),
    ],
)
async def test_dmarc_is_read_as_rfc_9989_has_it(server, record, code, severity):
    server.put("_dmarc.example.com", "TXT", record)
    report = await checked(server)
    assert code in codes(report, severity)
    assert ("dmarc_ok" in codes(report)) == (severity != "error")


async def test_strict_alignment_needs_keys_of_the_domain_itself(server):
    server.put("_dmarc.example.com", "TXT", "v=DMARC1; p=none; adkim=s; rua=mailto:d@example.com")
    assert "dmarc_strict" not in codes(await checked(server))
    parents = PublicKey(1, "example.com", "sel", Algorithm.RSA, KeyState.ACTIVE, RSA.public_key)
    server.put("sel._domainkey.example.com", "TXT", f"v=DKIM1; p={RSA.public_key}")
    assert "dmarc_strict" in codes(await checked(server, parents), "error")


def test_the_tree_walk_asks_at_most_eight_names():
    assert list(walked("a.b.example.com")) == ["a.b.example.com", "b.example.com", "example.com", "com"]
    long = list(walked("1.2.3.4.5.6.7.8.9.example.com"))
    assert long[:2] == ["1.2.3.4.5.6.7.8.9.example.com", "5.6.7.8.9.example.com"]
    assert len(long) == 8


@pytest.mark.parametrize(
    ("records", "at", "organisation"),
    [  # RFC 9989 §4.10.2
        ({"example.com": "p=none", "b.example.com": "p=reject"}, "example.com", "example.com"),
        ({"example.com": "p=none", "a.b.example.com": "p=reject"}, "a.b.example.com", "example.com"),
        ({"example.com": "p=none", "b.example.com": "p=reject; psd=n"}, "b.example.com", "b.example.com"),
        ({"com": "p=reject; psd=y"}, "com", "example.com"),
        ({"com": "p=reject; psd=y", "example.com": "p=none"}, "example.com", "example.com"),
    ],
)
async def test_the_organisational_domain_is_found_by_walking(server, records, at, organisation):
    server.records = {f"_dmarc.{name}": {} for name in records}
    for name, tags in records.items():
        server.put(f"_dmarc.{name}", "TXT", f"v=DMARC1; {tags}")
    policy = await find_policy(asking(server), "a.b.example.com")
    assert isinstance(policy, Policy)
    assert (policy.at, policy.organisation) == (at, organisation)


@pytest.mark.parametrize(
    ("values", "code", "severity"),
    [
        (["0 ."], "mx_null", "error"),
        (["10 gone.example."], "mx_dead", "error"),
        (["10 gone.example.", "20 mx.example.com."], "mx_dead", "warning"),
        (["10 mx.example.com."], "mx_ok", "ok"),
        ([], "mx_missing", "error"),
    ],
)
async def test_replies_must_be_able_to_come_back(server, values, code, severity):
    """RFC 7505: a null MX says that no mail is taken."""
    server.put(DOMAIN, "MX", *values)
    assert code in codes(await checked(server), severity)


async def test_return_paths_must_lead_somewhere(server):
    server.put("dead.example", "MX", "0 .")
    report = await checked(server, return_domain="dead.example")
    assert "return_path_dead" in codes(report, "warning")
    assert "dmarc_dkim_only" in codes(report, "note")


async def test_a_name_that_dns_cannot_have_is_missing(server):
    assert (await asking(server).ask("x" * 64 + ".example", Kind.TXT)).outcome is not Outcome.FOUND
