import asyncio
from html.parser import HTMLParser

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from app.embedded.catcher import make_maildir
from app.embedded.mailpage import mail_page

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


class Outline(HTMLParser):
    """The tags of a page, and its links."""

    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"])


def outline(page):
    reader = Outline()
    reader.feed(page)
    return reader


@pytest.fixture
def maildir(tmp_path):
    make_maildir(tmp_path / "mail")
    return tmp_path / "mail"


@pytest.fixture
async def browser(maildir):
    application = Starlette(routes=[Mount("/dev/mail", app=mail_page(maildir))])
    transport = httpx2.ASGITransport(app=application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test/dev/mail") as client:
        yield client


def keep(maildir, raw, *, number=0):
    name = f"{1_700_000_000_000_000_000 + number:019}.1_{number}.catcher"
    head = b"X-Catcher-From: sender@example.no\r\nX-Catcher-Rcpt: kari@example.no\r\n"
    (maildir / "new" / name).write_bytes(head + raw)
    return name


def mail(*, subject="Hei", body="<p>hei</p>", kind="text/html"):
    return f"From: A <a@example.no>\r\nSubject: {subject}\r\nContent-Type: {kind}; charset=utf-8\r\n\r\n{body}".encode()


async def test_an_empty_maildir_says_so(browser):
    answer = await browser.get("/")
    assert answer.status_code == 200
    assert "Nothing has been sent yet." in answer.text


async def test_the_list_is_newest_first_and_paged(browser, maildir):
    for number in range(120):
        keep(maildir, mail(subject=f"Number {number}."), number=number)
    first, last = await asyncio.gather(browser.get("/"), browser.get("/?page=3"))
    assert first.text.index("Number 119.") < first.text.index("Number 118.") < first.text.index("Number 70.")
    assert "Number 69." not in first.text
    assert "120 messages, newest first; page 1 of 3" in first.text
    assert "/dev/mail/?page=2" in outline(first.text).links
    assert "Number 0." in last.text
    for nonsense in ("?page=99", "?page=-1", "?page=x", "?page=²", "?page=" + "9" * 5000):
        assert (await browser.get("/" + nonsense)).status_code == 200


async def test_links_of_the_list_lead_to_messages(browser, maildir):
    name = keep(maildir, mail(subject="=?utf-8?q?Bl=C3=A5b=C3=A6r?="))
    page = await browser.get("/")
    assert f"/dev/mail/{name}" in outline(page.text).links
    message = await browser.get(f"/{name}")
    assert "<h1>Blåbær</h1>" in message.text
    assert "kari@example.no" in message.text


async def test_hostile_content_is_escaped_everywhere(browser, maildir):
    plain = keep(maildir, mail(subject=HOSTILE, body=HOSTILE, kind="text/plain"), number=1)
    link = f"<a href='https://example.no/?{HOSTILE.replace(chr(39), '')}'>x</a><a href='javascript:alert(1)'>y</a>"
    html = keep(maildir, mail(subject=HOSTILE, body=link), number=2)
    for path in ("/", f"/{plain}", f"/{html}"):
        page = await browser.get(path)
        assert not {"script", "img"} & set(outline(page.text).tags)
        assert "&lt;script&gt;" in page.text
        assert not any(target.startswith("javascript:") for target in outline(page.text).links)


async def test_the_html_part_is_shown_in_a_sandbox(browser, maildir):
    name = keep(maildir, mail(body="<h1>Nyhetsbrev</h1><script>alert(1)</script>"))
    page = await browser.get(f"/{name}")
    assert f'<iframe src="/dev/mail/{name}/html"' in page.text
    part = await browser.get(f"/{name}/html")
    assert part.text == "<h1>Nyhetsbrev</h1><script>alert(1)</script>"
    policy = part.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    for answer in (page, part):
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_source_is_downloaded_byte_for_byte(browser, maildir):
    raw = b"Subject: x\r\n\r\n" + bytes(range(256))
    name = keep(maildir, raw)
    answer = await browser.get(f"/{name}/source")
    assert answer.content.endswith(raw)
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.eml"'


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret/source",
        "/..%2f..%2fsecret/source",
        "/new/source",
        "/1700000000000000000.1_0.catcher%2f..%2f..%2fsecret/source",
        "/%2fetc%2fpasswd/source",
        "/1700000000000000007.1_7.catcher/source",
        "/1700000000000000000.1_0.catcher%0a/source",
        "/a/b/c",
    ],
)
async def test_nothing_outside_the_maildir_is_served(browser, maildir, path):
    keep(maildir, mail())
    (maildir.parent / "secret").write_text("the secret")
    (maildir / "secret").write_text("the secret")
    (maildir / "new/1700000000000000007.1_7.catcher").symlink_to(maildir / "secret")
    answer = await browser.get(path)
    assert answer.status_code == 404
    assert "the secret" not in answer.text
    assert (await browser.get("/")).status_code == 200


async def test_the_page_can_only_be_read(browser, maildir):
    name = keep(maildir, mail())
    refusal = await browser.post(f"/{name}")
    assert (refusal.status_code, refusal.headers["allow"]) == (405, "GET, HEAD")
    head = await browser.head(f"/{name}")
    assert (head.status_code, head.content) == (200, b"")


async def test_parts_nested_for_mischief_are_survived(browser, maildir):
    layers = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (layer, layer) for layer in range(2000)
    )
    name = keep(maildir, b"Subject: deep\r\n" + layers)
    assert "<h1>deep</h1>" in (await browser.get(f"/{name}")).text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from([b"Subject", b"From", b"Content-Type", b"Content-Transfer-Encoding", b"X-Catcher-Rcpt"]),
    value=st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [
                b"=?utf-8?b?////?=",
                b"=?no-such?q?x?=",
                b"=?utf-8?b?a?=",
                b"text/html; charset=\xff",
                b"text/html; charset=hex",
            ]
        ),
    ),
    body=st.one_of(st.binary(max_size=60), st.sampled_from([b"<![x", b"<!x[", b"&#xD800;", b"<a href=http://\xff>"])),
)
async def test_no_message_breaks_the_page(browser, maildir, field, value, body):
    name = keep(
        maildir,
        b"Content-Type: text/html\r\n" * (field != b"Content-Type") + field + b": " + value + b"\r\n\r\n" + body,
    )
    for path in ("/", f"/{name}"):
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert "script" not in outline(answer.text).tags
