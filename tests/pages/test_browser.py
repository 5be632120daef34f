"""The pages in a real browser: axe-core on each of them in each language, the keyboard alone, no JavaScript (D49).

WCAG 2.2 AA by axe-core: every page in every language, light and dark, narrow (320 px) and wide. One browser, one page
for all of it: what takes time is loading.
"""

import json
from contextlib import AsyncExitStack

import pytest
from sqlmodel import select

from app.consent.models import ConsentState
from app.letterhead.languages import LANGUAGES
from tests.conftest import _copy_database
from tests.letterhead.test_branding import png
from tests.pages.browsing import AXE, Site, chromium

SIZES = {"narrow": {"width": 320, "height": 640}, "wide": {"width": 1280, "height": 800}}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CHECK = """async (tags) => {
    const found = await axe.run(document, {runOnly: tags, resultTypes: ['violations', 'incomplete']});
    const told = (results) => results.map((each) => each.id + ': ' + each.nodes.map((node) => node.html).join(' | '));
    const scrolls = document.documentElement.scrollWidth > document.documentElement.clientWidth;
    return {violations: told(found.violations), unsure: told(found.incomplete), scrolls, rules: found.passes.length};
}"""
MEASURE = """() => [...document.querySelectorAll('a, button, label')].map((node) => {
    const box = node.getBoundingClientRect();
    return [node.textContent.trim(), box.width, box.height];
}).filter(([, width, height]) => width < 24 || height < 24)"""

CUT = """() => [...document.querySelectorAll('main *')].filter((node) =>
    node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflow !== 'visible').length"""


@pytest.fixture(scope="module")
async def browser():
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def site(postgres_url):
    address, _, template = postgres_url.rpartition("/")
    await _copy_database(f"{address}/postgres", "pages_in_a_browser", template=template)
    async with Site(f"{address}/pages_in_a_browser").running() as site:
        await site.fill()
        yield site


@pytest.fixture
async def open_page(browser):
    """Open pages that close with the test: open_page(**context)."""
    async with AsyncExitStack() as stack:

        async def open_page(**options):
            context = await browser.new_context(**options)
            stack.push_async_callback(context.close)
            return await context.new_page()

        yield open_page


async def walk(site, page, language):
    """Go to every kind of page there is, and give its name when it shows."""

    async def press(selector):
        async with page.expect_navigation():
            await page.locator(selector).first.click()

    kari, old, ola = await site.add(), await site.add(days_ago=40), await site.add(known=False)
    await page.set_extra_http_headers({"Accept-Language": language})
    await page.goto(kari.unsubscribe)
    yield "unsubscribe"
    await press("[value=type]")
    yield "unsubscribed from a type"
    await press("[name=undo]")
    yield "subscribed again"
    await page.goto(kari.preferences)
    yield "preferences"
    await press("[name=save]")
    yield "preferences saved"
    await page.goto(kari.unsubscribe)
    await press("[value=everything]")
    yield "unsubscribed from everything"
    await page.locator("[value=other]").check()
    await press("form.why button")
    yield "thanks"
    await page.goto(old.preferences)
    yield "run out"
    await press("[name=fresh]")
    yield "link sent"
    await page.goto(ola.unsubscribe)
    yield "unsubscribe an address alone"
    await page.goto(ola.preferences)
    yield "no preferences"
    await page.goto(f"{site.url}/u/{site.test_token}")
    yield "test message"
    await page.goto(f"{site.url}/u/nonsense")
    yield "notice"


async def looks(page):
    """Give every combination of scheme and size, with few changes in between."""
    for scheme, sizes in (("light", ("narrow", "wide")), ("dark", ("wide", "narrow"))):
        await page.emulate_media(color_scheme=scheme)
        for size in sizes:
            await page.set_viewport_size(SIZES[size])
            yield f"{scheme} {size}"


async def faults_of(page):
    found = await page.evaluate(CHECK, RULES)
    assert found["rules"] > 0
    faults = found["violations"] + found["unsure"] + (["it scrolls sideways"] if found["scrolls"] else [])
    return faults + [f"small target: {each}" for each in await page.evaluate(MEASURE)]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_axe_finds_nothing_on_any_page(site, open_page, language):
    page = await open_page()
    await page.add_init_script(AXE)
    faults, seen, titles, refused = {}, 0, set(), []
    page.on("console", lambda told: refused.append(told.text) if "Policy" in told.text else None)
    page.on("request", lambda request: refused.append(request.url) if "favicon" in request.url else None)
    async for name in walk(site, page, language):
        assert await page.locator("html").get_attribute("lang") == language
        titles.add(await page.title())
        async for look in looks(page):
            seen += 1
            if found := await faults_of(page):
                faults[f"{name}, {look}"] = found
    assert not faults, json.dumps(faults, indent=2, ensure_ascii=False)
    assert refused == []  # nothing on a page is against its own policy
    assert seen == 13 * 4
    assert len(titles) >= 9


async def test_axe_would_see_a_fault(site, open_page):
    """The proof of the proof: faint text and a nameless button are found."""
    page = await open_page()
    await page.add_init_script(AXE)
    await page.goto((await site.add()).unsubscribe)
    await page.evaluate("document.querySelector('.lead').style.color = '#c8c8c8'")
    await page.evaluate("document.querySelector('button').textContent = ''")
    faults = " ".join(await faults_of(page))
    assert "color-contrast" in faults
    assert "button-name" in faults


async def press_until(page, key, selector):
    """Press a key until what has the focus matches; it is seen to have it."""
    for _ in range(25):
        await page.keyboard.press(key)
        focused = page.locator("*:focus")
        if await focused.count():
            outline = await focused.evaluate(
                "node => getComputedStyle(node).outlineStyle + getComputedStyle(node).outlineWidth"
            )
            assert outline == "solid3px"
            if await focused.evaluate("(node, selector) => node.matches(selector)", selector):
                return
    raise AssertionError(f"{selector} cannot be reached by {key}")


async def test_the_keyboard_alone_unsubscribes_takes_it_back_and_saves_choices_without_javascript(site, open_page):
    kari = await site.add(language="nb-NO")
    first, second, third = site.types
    page = await open_page(java_script_enabled=False, viewport=SIZES["narrow"])
    await page.goto(kari.unsubscribe)
    await press_until(page, "Tab", "[value=type]")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await page.locator("h1").inner_text() == "Du er meldt av"
    assert await kari.subscribed() == {second}
    await press_until(page, "Tab", "[name=undo]")
    async with page.expect_navigation():
        await page.keyboard.press("Space")
    assert await kari.subscribed() == {first, second}
    await press_until(page, "Tab", "a[href^='/p/']")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    for selector in (f"[value='{second}']", f"[value='{third}']", "[value=track_opens]"):
        await press_until(page, "Tab", selector)
        await page.keyboard.press("Space")
    await press_until(page, "Tab", "[name=save]")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await page.locator("[role=status]").inner_text() == "Valgene dine er lagret."
    assert await kari.subscribed() == {first, third}
    async with site.database.begin() as session:
        states = (await session.exec(select(ConsentState).where(ConsentState.person_id == kari.person_id))).all()
        assert {state.purpose: state.given for state in states} == {
            "e_marketing": True, "track_opens": True, "track_clicks": False,
        }  # fmt: skip


async def test_at_200_percent_with_a_logo_and_loud_colours_nothing_is_cut_off_or_asked_of_others(site, open_page):
    """A window of 640 px at 200 % has 320; text alone doubled is harder, and is what is done here."""
    async with site.client() as client:
        assert (
            await client.put("/v1/branding/logo", files={"file": ("logo.png", png(), "image/png")})
        ).status_code == 200
        colours = {"background_color": "#fff4f0", "accent_color": "#b3003b", "text_color": "#2a0010"}
        assert (await client.patch("/v1/branding", json={"sender_name": "Rødt", **colours})).status_code == 200
    site.app.state.looks._read_at = -1e9
    asked = []
    try:
        kari = await site.add(language="de")
        for scheme in ("light", "dark"):
            page = await open_page(color_scheme=scheme, viewport=SIZES["wide"])
            page.on("request", lambda request: asked.append(request.url))
            await page.add_init_script(AXE)
            for url in (kari.preferences, kari.unsubscribe):
                await page.goto(url)
                assert await page.locator("img").evaluate("image => image.complete && image.naturalWidth") == 480
                assert await faults_of(page) == []
                await page.evaluate("document.documentElement.style.fontSize = '212.5%'")
                for size in (SIZES["wide"], {"width": 640, "height": 800}):
                    await page.set_viewport_size(size)
                    assert await faults_of(page) == []
                    assert await page.evaluate(CUT) == 0
        assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{site.port}"}
    finally:
        async with site.client() as client:
            await client.delete("/v1/branding/logo")
            await client.patch("/v1/branding", json=dict.fromkeys(("sender_name", *colours)))
        site.app.state.looks._read_at = -1e9
