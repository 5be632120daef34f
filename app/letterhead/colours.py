"""Colours of pages: contrast as WCAG measures it, and what follows from the few colours that a sender chooses.

A sender chooses at most four; the rest, and all of dark mode, is derived, so that every pair that pages show keeps the
contrast it needs. Colours are moved in OKLCH, where lightness is what eyes call so and hue stays as it is.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

TEXT = 4.5
"""Ratio that text needs (WCAG 2.2, 1.4.3)."""
PART = 3.0
"""Ratio that borders of controls and the mark of focus need (1.4.11)."""
_SPARE = 0.06  # above the ratio: browsers round colours, and a measured 4.499 is a violation

HEX = re.compile(r"#[0-9a-fA-F]{6}")
_WHITE, _BLACK = "#ffffff", "#000000"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a sender chooses, as `#rrggbb`; the text on the accent may be left to us."""

    background: str = "#fbfaf6"
    text: str = "#1c2522"
    accent: str = "#1d5b4b"
    accent_text: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two colours that pages show on each other, as a sender knows them, and how far apart they are."""

    front: str
    back: str
    ratio: float
    needed: float

    @property
    def is_enough(self) -> bool:
        """Whether readers can tell them apart."""
        return self.ratio >= self.needed


@dataclass(frozen=True, slots=True)
class Palette:
    """All colours of a page, light or dark: variables of its style sheet."""

    paper: str
    panel: str
    ink: str
    quiet: str
    line: str
    field: str
    accent: str
    accent_ink: str

    def variables(self) -> str:
        """Return them as declarations of CSS."""
        names = ("paper", "panel", "ink", "quiet", "line", "field", "accent", "accent_ink")
        return " ".join(f"--{name.replace('_', '-')}: {getattr(self, name)};" for name in names)

    def pairs(self) -> Iterator[tuple[str, str, float]]:
        """Give what pages show on each other, and the ratio each needs."""
        for back in (self.paper, self.panel):
            yield from ((front, back, TEXT) for front in (self.ink, self.quiet, self.accent))
            yield self.field, back, PART
        yield self.accent_ink, self.accent, TEXT


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2, contrast ratio)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def pairs_of(chosen: Chosen) -> list[Pair]:
    """Return the pairs that a sender answers for, each with its ratio."""
    on_accent = chosen.accent_text or _on(chosen.accent)
    wanted = [
        ("text_color", chosen.text, "background_color", chosen.background),
        ("accent_color", chosen.accent, "background_color", chosen.background),
        ("accent_text_color", on_accent, "accent_color", chosen.accent),
    ]
    return [Pair(front, back, contrast(one, other), TEXT) for front, one, back, other in wanted]


def light(chosen: Chosen) -> Palette:
    """Return the palette of light mode: the colours chosen, as they are. They pass `pairs_of`."""
    paper = chosen.background
    return _palette(
        paper, ink=chosen.text, accent=chosen.accent, accent_ink=chosen.accent_text or _on(chosen.accent)
    )  # fmt: skip


def dark(chosen: Chosen) -> Palette:
    """Return the palette of dark mode: the hues chosen, on a dark ground of the background's hue."""
    _, chroma, hue = _oklch(chosen.background)
    if chroma < _GREYISH:
        _, chroma, hue = _oklch(chosen.accent)
    paper = _hex(0.21, min(chroma, 0.012), hue)
    _, _, text_hue = _oklch(chosen.text)
    ink = _hex(0.93, 0.008, text_hue)
    _, accent_chroma, accent_hue = _oklch(chosen.accent)
    accent = _apart(_hex(0.80, min(accent_chroma, 0.11), accent_hue), paper, TEXT + 1)
    return _palette(paper, ink=ink, accent=accent, accent_ink=_deep_on(accent))


def _palette(paper: str, *, ink: str, accent: str, accent_ink: str) -> Palette:
    panel = _mix(paper, ink, 0.045)
    for share in (0.045, 0.03, 0.015, 0.0):  # as much of a shade as the texts on it can stand
        panel = _mix(paper, ink, share)
        if all(contrast(front, panel) >= TEXT + _SPARE for front in (ink, accent)):
            break
    return Palette(
        paper=paper,
        panel=panel,
        ink=ink,
        quiet=_toward(paper, ink, 0.68, against=(paper, panel), needed=TEXT),
        line=_mix(paper, ink, 0.16),
        field=_toward(paper, ink, 0.5, against=(paper, panel), needed=PART),
        accent=accent,
        accent_ink=accent_ink,
    )


def _toward(paper: str, ink: str, share: float, *, against: tuple[str, ...], needed: float) -> str:
    """Return paper mixed with ink: with so little of it as `share`, if that is far enough from all of `against`."""
    while share < 1:
        mixed = _mix(paper, ink, share)
        if all(contrast(mixed, back) >= needed + _SPARE for back in against):
            return mixed
        share += 0.04
    return ink


def _on(accent: str) -> str:
    return max((_WHITE, _BLACK), key=lambda colour: contrast(colour, accent))


def _deep_on(accent: str) -> str:
    _, chroma, hue = _oklch(accent)
    deep = _hex(0.2, min(chroma, 0.03), hue)
    return deep if contrast(deep, accent) >= TEXT + _SPARE else _on(accent)


def _apart(colour: str, back: str, needed: float) -> str:
    lightness, chroma, hue = _oklch(colour)
    while contrast(colour, back) < needed and lightness < 1:
        lightness = min(1.0, lightness + 0.02)
        colour = _hex(lightness, chroma, hue)
    return colour


def _mix(one: str, other: str, share: float) -> str:
    """Return `one` with so much of `other` in it, mixed as screens mix light."""
    mixed = [a + (b - a) * share for a, b in zip(_channels(one), _channels(other), strict=True)]
    return _written(mixed)


def _channels(colour: str) -> tuple[float, float, float]:
    return (int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255)


def _written(channels: list[float]) -> str:
    return "#" + "".join(f"{round(max(0.0, min(1.0, value)) * 255):02x}" for value in channels)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * math.pow(value, 1 / 2.4) - 0.055


def _luminance(colour: str) -> float:
    red, green, blue = map(_linear, _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_GREYISH = 0.004  # chroma under which a hue is chance

# sRGB to OKLab and back: Ottosson, "A perceptual color space for image processing" (2020).
_TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_FROM_LAB = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
_FROM_LMS = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)

_Matrix = tuple[tuple[float, float, float], ...]


def _times(matrix: _Matrix, vector: tuple[float, float, float]) -> tuple[float, float, float]:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def _oklch(colour: str) -> tuple[float, float, float]:
    """Return lightness (0 to 1), chroma and hue (radians)."""
    red, green, blue = map(_linear, _channels(colour))
    long, middle, short = map(math.cbrt, _times(_TO_LMS, (red, green, blue)))
    lightness, a, b = _times(_TO_LAB, (long, middle, short))
    return lightness, math.hypot(a, b), math.atan2(b, a)


def _hex(lightness: float, chroma: float, hue: float) -> str:
    """Return the colour, with as much of its chroma as screens can show."""
    while True:
        lab = (lightness, chroma * math.cos(hue), chroma * math.sin(hue))
        long, middle, short = (value**3 for value in _times(_FROM_LAB, lab))
        linear = _times(_FROM_LMS, (long, middle, short))
        if chroma < 0.001 or all(-0.0005 <= value <= 1.0005 for value in linear):
            return _written([_gamma(max(0.0, value)) for value in linear])
        chroma *= 0.9
