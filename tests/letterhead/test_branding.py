"""`/v1/branding`: logo, colours and name of the pages, without templates of one's own."""

import asyncio
import re
import struct
import time
import zlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.letterhead.colours import Chosen, contrast, dark, light, pairs_of
from app.letterhead.images import read_image
from app.letterhead.looks import PLAIN, Looks
from app.letterhead.queries import lock_branding
from app.letterhead.service import change, keep_looks, load_looks
from app.platform.db import Database
from app.platform.tokens import Purpose
from tests.conftest import settings_for


def png(width=480, height=120):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\x00" + b"\x1d\x5b\x4b" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xc2\x00\x11\x08\x00\x30\x00\x90\x03"
    + b"x" * 20
)
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\x8f\x00\x00\x2f\x00\x00" + b"x" * 9
LOSSLESS = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f" + (143 | 47 << 14).to_bytes(4, "little") + b"x" * 9
LOSSY = b"RIFF\x1a\x00\x00\x00WEBPVP8 \x0e\x00\x00\x00xxx\x9d\x01\x2a\x90\x00\x30\x00xx"

_colours = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")
# Most colours are too much alike; light grounds with dark fronts, and the other way round, are most often not.
_light = st.tuples(*[st.integers(190, 255)] * 3).map(lambda rgb: "#" + bytes(rgb).hex())
_deep = st.tuples(*[st.integers(0, 110)] * 3).map(lambda rgb: "#" + bytes(rgb).hex())
_chosen = (
    st.builds(Chosen, _light, _deep, _deep, st.none() | _light)
    | st.builds(Chosen, _deep, _light, _light, st.none() | _deep)
    | st.builds(Chosen, _colours, _colours, _colours, st.none() | _colours)
)


@given(_chosen)
def test_whatever_colours_are_taken_everything_on_every_page_can_be_read_in_light_and_in_dark(chosen):
    assume(all(pair.is_enough for pair in pairs_of(chosen)))
    for palette in (light(chosen), dark(chosen)):
        for front, back, needed in palette.pairs():
            assert contrast(front, back) >= needed, (chosen, palette)


def test_contrast_is_what_wcag_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)
    assert contrast("#ffffff", "#777777") == contrast("#777777", "#ffffff")


@pytest.mark.parametrize(
    ("octets", "seen"),
    [
        (png(), ("image/png", 480, 120)),
        (JPEG, ("image/jpeg", 144, 48)),
        (WEBP, ("image/webp", 144, 48)),
        (LOSSLESS, ("image/webp", 144, 48)),
        (LOSSY, ("image/webp", 144, 48)),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"GIF89a\x01\x00\x01\x00", None),
        (png()[:40], None),
        (JPEG[:20], None),
        (b"\xff\xd8\xff" + b"\xff" * 5000, None),
        (b"", None),
    ],
)
def test_an_image_is_told_by_its_octets(octets, seen):
    image = read_image(octets)
    assert (image and (image.content_type, image.width, image.height)) == seen


@given(
    st.binary(max_size=80).flatmap(
        lambda tail: st.sampled_from([JPEG[:3], WEBP[:12], png()[:16]]).map(lambda head: head + tail)
    )
)
def test_no_octets_confuse_the_reading_of_images(octets):
    read_image(octets)


async def test_before_anything_is_chosen_it_is_ours(client):
    branding = (await client.get("/v1/branding")).json()
    assert (branding["sender_name"], branding["logo"], branding["updated_at"]) == ("", None, None)
    assert all(pair["ratio"] >= pair["needed"] for pair in branding["contrast"])
    assert branding["dark"]["background_color"] != branding["background_color"]


async def test_what_is_chosen_shows_on_every_page(client, app):
    app.state.looks._clock = iter(range(0, 10_000, 100)).__next__  # what is known is always too old
    answer = await client.patch(
        "/v1/branding",
        json={"sender_name": "Fjord & Co", "accent_color": "#7A1FA2", "privacy_url": "https://example.com/privacy"},
    )
    assert answer.status_code == 200
    assert answer.json()["accent_color"] == "#7a1fa2"
    page = (await client.get(f"/u/{app.state.tokens.make(Purpose.UNSUBSCRIBE, 0)}")).text
    assert "--accent: #7a1fa2;" in page
    assert "Fjord &amp; Co</p>" in page
    assert 'href="https://example.com/privacy"' in page
    again = await client.patch("/v1/branding", json={"accent_color": None, "sender_name": None, "privacy_url": None})
    assert again.json()["accent_color"] != "#7a1fa2"
    assert "Fjord" not in (await client.get(f"/u/{app.state.tokens.make(Purpose.UNSUBSCRIBE, 0)}")).text


async def test_colours_that_cannot_be_read_are_refused_with_pair_ratio_and_need(client):
    answer = await client.patch("/v1/branding", json={"accent_color": "#ffe082", "accent_text_color": "#ffffff"})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "urn:budstikke:problem:low-contrast"
    assert [error["pointer"] for error in problem["errors"]] == ["#/accent_color", "#/accent_text_color"]
    assert "accent_color on background_color has a contrast of 1.23:1; text needs 4.5:1." in problem["detail"]
    assert (await client.get("/v1/branding")).json()["updated_at"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"accent_color": "red"}, "#/accent_color"),
        ({"accent_color": "#12345g"}, "#/accent_color"),
        ({"text_color": "#000000;}"}, "#/text_color"),
        ({"privacy_url": "javascript:alert(1)"}, "#/privacy_url"),
        ({"privacy_url": "http://example.com"}, "#/privacy_url"),
        ({"privacy_url": 'https://example.com/"onclick="'}, None),
        ({"sender_name": "x" * 101}, "#/sender_name"),
        ({"font": "Comic Sans"}, "#/font"),
    ],
)
async def test_nothing_but_colours_names_and_addresses_is_taken(client, body, pointer):
    answer = await client.patch("/v1/branding", json=body)
    if pointer is None:  # an address may hold quotes; the page escapes them
        assert answer.status_code == 200
        return
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_change_by_someone_else_is_not_overwritten(client):
    tag = (await client.patch("/v1/branding", json={"sender_name": "A"})).headers["etag"]
    assert (await client.patch("/v1/branding", json={"sender_name": "B"}, headers={"If-Match": tag})).status_code == 200
    late = await client.patch("/v1/branding", json={"sender_name": "C"}, headers={"If-Match": tag})
    assert late.status_code == 412
    assert (await client.get("/v1/branding")).json()["sender_name"] == "B"


async def test_a_logo_is_served_to_everyone_and_kept_by_browsers(client, app):
    app.state.looks._clock = iter(range(0, 10_000, 100)).__next__
    answer = await client.put("/v1/branding/logo", files={"file": ("logo.png", png(), "image/png")})
    assert answer.status_code == 200
    logo = answer.json()["logo"]
    assert (logo["content_type"], logo["width"], logo["height"]) == ("image/png", 480, 120)
    path = logo["url"].removeprefix("https://news.example.com")
    served = await client.get(path, headers={"Authorization": ""})
    assert (served.status_code, served.content) == (200, png())
    assert served.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in served.headers["content-security-policy"]
    assert (await client.get(path, headers={"If-None-Match": served.headers["etag"]})).status_code == 304
    page = (await client.get(f"/p/{app.state.tokens.make(Purpose.PREFERENCES, 0)}")).text
    assert re.search(rf'<img class="logo" src="{path}" width="224" height="56" alt="">', page)
    assert (await client.delete("/v1/branding/logo")).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.delete("/v1/branding/logo")).status_code == 404
    assert "<img" not in (await client.get(f"/p/{app.state.tokens.make(Purpose.PREFERENCES, 0)}")).text


@pytest.mark.parametrize(
    ("octets", "status", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", 415, "SVG is not taken"),
        (b"", 422, "empty"),
        (png(8000, 1), 413, "8000 by 1"),
        (b"\x89PNG" + b"x" * 300_000, 413, "262144 octets"),
    ],
)
async def test_a_file_that_is_no_logo_is_refused_with_what_would_be(client, octets, status, words):
    answer = await client.put("/v1/branding/logo", files={"file": ("logo.png", octets, "image/png")})
    assert answer.status_code == status
    assert words in answer.json()["detail"]


async def test_a_name_of_no_logo_is_not_looked_for(client):
    for name in ("x", "..%2f..%2fetc", "%00", "a" * 5000):
        assert (await client.get(f"/brand/{name}")).status_code == 404


async def test_clicks_pages_follow_a_change_without_anybody_opening_another_page(database, monkeypatch):
    looks = Looks(time.monotonic)
    await load_looks(database, looks=looks)
    before = looks.current
    async with database.begin() as session:
        await change(session, branding=await lock_branding(session), fields={"accent_color": "#7a1fa2"})
    await load_looks(database, looks=looks)
    assert looks.current is before  # what was just read is not read again
    monkeypatch.setattr("app.letterhead.service.MOST_SECONDS", 0.01)
    monkeypatch.setattr("app.letterhead.looks.MOST_SECONDS", 0.01)
    following = asyncio.create_task(keep_looks(database, looks=looks))
    async with asyncio.timeout(10):
        while looks.current is before:
            assert not following.done()
            await asyncio.sleep(0.01)
    following.cancel()
    assert "--accent: #7a1fa2;" in looks.current.style


async def test_a_database_that_is_away_leaves_the_looks_as_they_are(monkeypatch):
    away = Database.connect(settings_for("postgresql://nobody:x@127.0.0.1:1/nothing"), name="away")
    looks = Looks(time.monotonic)
    await load_looks(away, looks=looks)
    assert looks.current is PLAIN
    await away.close()
