"""No person comes to the honeypot link: shown by a real browser, with styles and without (D45)."""

import re

from app.content.compiled import preview
from tests.content.messages import compiled, recipient
from tests.pages.browsing import AXE, chromium

HTML = (
    "<!doctype html><html lang='en'><head><title>News</title></head><body><main><h1>News</h1>"
    "<p><a href='https://a.example/'>Read more</a></p></main></body></html>"
)
SEEN = "() => [document.body.innerText.trim(), document.documentElement.scrollHeight]"
TRAP = "() => { const box = document.querySelectorAll('a')[1].getBoundingClientRect(); return [box.width, box.height] }"


async def test_nobody_sees_the_honeypot_or_comes_to_it_by_keyboard_or_screen_reader():
    message = compiled(HTML, honeypot=True, track_opens=False)
    with_trap = preview(message, recipient(message)).html
    without_style = re.sub(r' style="[^"]*"', "", with_trap)
    assert with_trap.count("<a ") == without_style.count("<a ") == 2
    async with chromium() as browser:
        page = await browser.new_page()
        await page.set_content(re.sub(r"<a [^>]*></a>", "", with_trap))
        bare = await page.evaluate(SEEN)
        for html in (with_trap, without_style):
            await page.set_content(html)
            assert (await page.evaluate(SEEN))[0] == bare[0]
            assert (await page.evaluate(TRAP))[0] == 0  # no width: nothing to click
            focused = []
            for _ in range(4):
                await page.keyboard.press("Tab")
                focused.append(await page.evaluate("() => document.activeElement.innerText.trim()"))
            assert "" not in focused
            snapshot = await page.locator("body").aria_snapshot()
            assert snapshot.count("link") == 1
            await page.evaluate(AXE)
            report = await page.evaluate("() => axe.run()")
            assert [found["id"] for found in report["violations"]] == []
        await page.set_content(with_trap)
        assert await page.evaluate(SEEN) == bare
