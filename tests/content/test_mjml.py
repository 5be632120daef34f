"""MJML in templates and mailings (D10, D8): the source is kept, what it compiles to is sent."""

import asyncio
import html as html_entities

import pytest

from app.content.compiled import preview
from app.content.markup import StartTag, decode_attribute, scan
from app.content.mjml import MjmlError, compile_mjml
from tests.content.messages import compiled, recipient

LETTER = """<mjml lang="nb">
  <mj-head><mj-title>Høstnytt</mj-title><mj-preview>Hei [[customer.firstname]]</mj-preview></mj-head>
  <mj-body><mj-section><mj-column>
    <mj-image src="cid:logo.png" alt="Nordlys" href="https://a.example/?a=1&amp;b=2&copy=3%20x#[[customer.number]]"/>
    <mj-text>Hei [[customer.firstname|default("du & «dere»")]],<br> velkommen &nbsp;inn!</mj-text>
    <mj-button href="https://b.example/?n=[[customer.name|default("x")]]&x=1">Se mer</mj-button>
    <mj-text><a href="[[link.unsubscribe]]">Avslutt</a></mj-text>
  </mj-column></mj-section></mj-body>
</mjml>"""


def in_a_column(content):
    return f"<mjml><mj-body><mj-section><mj-column>{content}</mj-column></mj-section></mj-body></mjml>"


def hrefs(html):
    attributes = [node.attribute("href") for node in scan(html) if isinstance(node, StartTag) and node.name == "a"]
    return [decode_attribute(html[each.start : each.end]) for each in attributes if each]


async def test_merge_tags_and_links_come_through_as_they_were_written():
    html = await compile_mjml(LETTER)
    assert '[[customer.firstname|default("du & «dere»")]],<br /> velkommen &nbsp;inn!' in html
    message = compiled(html, extra_tags=())
    assert [link.target for link in message.links] == [
        "https://a.example/?a=1&b=2&copy=3%20x#[[customer.number]]",
        'https://b.example/?n=[[customer.name|default("x")]]&x=1',
    ]
    assert '<html lang="nb"' in html
    assert "fonts.googleapis.com" not in html
    shown = preview(message, recipient(message, {"customer.firstname": "<Kari>"}))
    assert "Hei &lt;Kari&gt;,<br />" in shown.html


async def test_the_text_part_of_mjml_reads_like_a_letter():
    """D10: derived from what MJML compiles to, without its layout."""
    message = compiled(await compile_mjml(LETTER))
    data = recipient(message, {"customer.firstname": "Kari", "customer.name": "Kari N", "customer.number": "7"})
    text = preview(message, data, clicks=False).text
    unsubscribe = f"https://m.example.com/u/{data.tokens[-1]}"
    assert text.splitlines() == [
        "Nordlys <https://a.example/?a=1&b=2&copy=3%20x#7>",
        "Hei Kari,",
        "velkommen inn!",
        "Se mer <https://b.example/?n=Kari%20N&x=1>",
        f"Avslutt <{unsubscribe}>",
    ]


@pytest.mark.parametrize(
    ("mjml", "place", "words"),
    [
        ("<mjml>\n <mj-body>\n  <mj-include path='/etc/passwd'/></mj-body></mjml>", (3, 3), "no files"),
        ("<mjml>\n<mj-bodi></mj-bodi></mjml>", (2, 1), "no MJML element <mj-bodi>"),
        ("<mjml><mj-body>\n<mj-section></mj-body></mjml>", (2, 13), "<mj-section> of line 2, column 1"),
        (in_a_column("<mj-text>\n<p>one<p>two</mj-text>"), (2, 13), "comes before <p>"),
        ("<mjml><mj-body></mj-body>", (1, 1), "<mjml> is never closed"),
        ("<mjml></mj-body></mjml>", (1, 7), "comes before <mjml>"),
        ("<p>Hi</p>", (1, 1), "no <mjml>"),
        ('<!DOCTYPE mjml [<!ENTITY x "y">]><mjml></mjml>', (1, 1), "declaration"),
        ("<mjml>\n<mj-body>å <mj-raw></mj-raw></mj-body></mjml>", None, "cannot be compiled"),
        (in_a_column("<div>" * 5000 + "x" + "</div>" * 5000), (1, 519), "100 elements deep"),
    ],
)
async def test_faults_have_their_place(mjml, place, words):
    try:
        await compile_mjml(mjml)
    except MjmlError as error:
        fault = error.faults[0]
        assert words in fault.message
        assert place is None or (fault.line, fault.column) == place
    else:
        assert words == "cannot be compiled", "mrml forgives text where it expects elements"


async def test_a_hostile_megabyte_holds_up_nobody():
    """The event loop answers others all the while, and the compiler's process has limits."""
    sections = in_a_column("<mj-text>x</mj-text>" * 30_000)
    unclosed = "<mjml>" + "<mj-text a='" * 80_000
    beats, over = 0, asyncio.Event()

    async def beat():
        nonlocal beats
        while not over.is_set():
            await asyncio.sleep(0.002)
            beats += 1

    beating = asyncio.create_task(beat())
    outcomes = await asyncio.gather(compile_mjml(sections), compile_mjml(unclosed), return_exceptions=True)
    over.set()
    await beating
    assert "of HTML; at most 2000000" in str(outcomes[0])
    assert "unfinished tag" in str(outcomes[1])
    assert beats > 50  # in the loop's own thread it would be three or so


async def test_size_alone_is_no_fault():
    html = await compile_mjml(in_a_column("<mj-text>" + "x" * 900_000 + "</mj-text>"))
    assert len(html) > 900_000


async def test_a_compiler_that_dies_is_a_fault_of_the_source(monkeypatch):
    """Nesting beyond what the check here knows of would end the process, and nothing else."""
    monkeypatch.setattr("app.content.mjml_structure.MAX_DEPTH", 10**9)
    with pytest.raises(MjmlError, match="nested too deeply"):
        await compile_mjml(in_a_column("<mj-text>" + "<div>" * 50_000 + "</div>" * 50_000 + "</mj-text>"))


async def test_a_template_is_written_in_mjml_and_a_mailing_begins_with_it(client):
    """D8, D10."""
    answer = await client.post("/v1/templates", json={"name": "Letter", "subject": "Hei", "mjml": LETTER})
    assert answer.status_code == 201, answer.text
    template = answer.json()
    assert template["mjml"] == LETTER
    assert "<!doctype html>" in template["html"]
    copy = (await client.post(f"/v1/templates/{template['id']}/copy")).json()
    assert (copy["mjml"], copy["html"], copy["name"]) == (LETTER, template["html"], "Letter (copy)")
    mailing = (await client.post("/v1/mailings", json={"name": "News", "template_id": copy["id"]})).json()
    content = (await client.get(f"/v1/mailings/{mailing['id']}/content")).json()
    assert (content["mjml"], content["html"], content["subject"]) == (LETTER, template["html"], "Hei")
    twin = (await client.post(f"/v1/mailings/{mailing['id']}/copy")).json()
    assert (await client.get(f"/v1/mailings/{twin['id']}/content")).json()["mjml"] == LETTER
    answer = await client.put(f"/v1/mailings/{twin['id']}/content", json={"subject": "x", "html": "<p>Plain</p>"})
    assert (answer.json()["mjml"], answer.json()["html"]) == (None, "<p>Plain</p>")
    answer = await client.patch(f"/v1/templates/{copy['id']}", json={"mjml": LETTER.replace("velkommen", "hallo")})
    assert "hallo" in answer.json()["html"]
    answer = await client.patch(f"/v1/templates/{copy['id']}", json={"html": "<p>Plain</p>"})
    assert answer.json()["mjml"] is None


async def test_faulty_mjml_is_refused_with_line_and_column(client):
    body = {"name": "Letter", "mjml": LETTER.replace("customer.firstname|", "customer.frstname|")}
    answer = await client.post("/v1/templates", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "#/mjml"
    assert error["detail"].startswith("Line 5, column 18: there is no tag customer.frstname")
    answer = await client.post("/v1/templates", json={"name": "x", "mjml": "<mjml>\n<mj-include path='x'/></mjml>"})
    assert answer.json()["errors"][0]["detail"].startswith("Line 2, column 1: mj-include")
    answer = await client.post("/v1/templates", json={"name": "x", "mjml": "<mjml/>", "html": "<p>"})
    assert "not both" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("rest", ["?a=1&amp;b=2", "?a=1&b=2", "#å%2F", "?q=&quot;x&quot;", "/a b", "?'x'&#39;"])
async def test_a_target_is_kept_through_mjml(rest):
    """D37."""
    html = await compile_mjml(in_a_column(f'<mj-button href="https://a.example/{rest}">x</mj-button>'))
    assert hrefs(html) == [html_entities.unescape(f"https://a.example/{rest}")]
