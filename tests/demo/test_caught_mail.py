"""Reading caught messages and pages as a mail program and a browser do."""

from email.message import EmailMessage

import pytest

from app.demo.caught_mail import Form, first_form, open_message, read_maildir
from app.demo.errors import MessageUnusable

PUBLIC = "http://127.0.0.1:8000"
HTML = f"""
<a href="{PUBLIC}/c/one">Les</a> <a href="{PUBLIC}/c/two">mer</a> <a href="{PUBLIC}/c/one">igjen</a>
<a href="mailto:post@nordlys.example">Skriv</a> <a href="{PUBLIC}/v/view">Se</a> <a href="{PUBLIC}/u/leave">Av</a>
<img src="https://bilder.nordlys.example/o/logo.png" alt=""><img src="{PUBLIC}/o/pixel.gif" alt="">
"""


def catch(maildir, html=HTML, **headers):
    message = EmailMessage()
    message["Subject"] = "Blåbær"
    message["List-Unsubscribe"] = f"<{PUBLIC}/u/leave>, <mailto:unsubscribe@nordlys.example?subject=leave>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Hei")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    (maildir / "new").mkdir(exist_ok=True)
    envelope = b"X-Catcher-From: b+abc@bounces.example\r\nX-Catcher-Rcpt: kari@nordlys.example\r\n"
    (maildir / "new" / f"{len(list((maildir / 'new').iterdir()))}.catcher").write_bytes(envelope + bytes(message))


def test_the_envelope_is_read_from_the_catcher_and_tests_are_known(tmp_path):
    catch(tmp_path)
    catch(tmp_path, X_Budstikke_Test="yes")

    first, second = read_maildir(tmp_path)

    assert (first.recipient, first.return_path) == ("kari@nordlys.example", "b+abc@bounces.example")
    assert (first.is_test, second.is_test) == (False, True)


def test_a_message_gives_its_links_once_each_its_pixel_and_its_pages(tmp_path):
    catch(tmp_path)

    message = open_message(read_maildir(tmp_path)[0], public_url=PUBLIC)

    assert message.subject == "Blåbær"
    assert message.links == (f"{PUBLIC}/c/one", f"{PUBLIC}/c/two")
    assert message.pixel == f"{PUBLIC}/o/pixel.gif"
    assert message.pages == (f"{PUBLIC}/u/leave", f"{PUBLIC}/v/view")
    assert message.one_click == message.unsubscribe_page == f"{PUBLIC}/u/leave"


def test_a_message_without_a_pixel_is_no_message_of_the_mailing(tmp_path):
    catch(tmp_path, html=f'<a href="{PUBLIC}/c/one">Les</a><a href="{PUBLIC}/u/leave">Av</a>')

    with pytest.raises(MessageUnusable, match="pixel"):
        open_message(read_maildir(tmp_path)[0], public_url=PUBLIC)


def test_a_form_sends_what_it_came_with_and_the_first_button_alone():
    page = """
        <form method="get" action="/search"><input name="q"></form>
        <form method="post" action="leave?x=1"><input type="hidden" name="token" value="t">
        <input type="checkbox" name="all" value="yes"><input type="checkbox" name="news" value="yes" checked>
        <button name="do" value="leave">Meld av</button><button name="do" value="all">Alt</button></form>
        <form method="post" action="/other"><input name="more" value="1"></form>
    """

    assert first_form(page) == Form("leave?x=1", {"token": "t", "news": "yes", "do": "leave"})


def test_a_page_without_a_form_that_posts_has_none():
    assert first_form('<form action="/search"><input name="q"></form>') is None
