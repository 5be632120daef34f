"""What a page looks like: the sender's name, logo and colours, as style and policy."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from app.letterhead.colours import Chosen, Palette, dark, light

_STYLE = (Path(__file__).parent / "templates" / "style.css").read_text("utf-8")

LOGO_PATH = "/brand/"
OURS = Chosen()


@dataclass(frozen=True, slots=True)
class Logo:
    """An image as pages show it: its path on this host, and how large it is shown, in CSS pixels."""

    path: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Branding:
    """What a sender chose; `version` tells one from the next."""

    version: int = 0
    name: str = ""
    chosen: Chosen = OURS
    logo: Logo | None = None
    privacy_url: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How pages look. `style` is the whole style sheet; `policy` allows it by its hash, and nothing else."""

    style: str
    policy: str
    palette: Palette
    """Of light mode: what messages of ours are written in."""
    name: str = ""
    logo: Logo | None = None
    privacy_url: str | None = None


@lru_cache(maxsize=4)
def look_of(branding: Branding) -> Look:
    """Return how pages look with a branding; its colours have passed `colours.pairs_of`."""
    day, night = light(branding.chosen), dark(branding.chosen)
    style = (
        f":root {{ color-scheme: light dark; --plate: {day.paper}; {day.variables()} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {night.variables()} }} }}\n{_STYLE}"
    )
    return Look(style, _policy(style), day, branding.name, branding.logo, branding.privacy_url)


def _policy(style: str) -> str:
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    # The page's own style, and images of this host; forms post to where they came from; nothing may frame a page.
    # data: is for the icon that says there is none, which browsers would ask for otherwise.
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


PLAIN = look_of(Branding())
"""Without a branding."""

MOST_SECONDS = 10.0
"""How old what a process knows of the branding may be: so long a change takes to show everywhere."""


class Looks:
    """The look of the installation, in memory: pages are answered when the database is away, too."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.current = PLAIN
        self._clock = clock
        self._read_at = -MOST_SECONDS

    @property
    def is_due(self) -> bool:
        """Whether the branding should be read again: whoever has the database at hand does it."""
        return self._clock() - self._read_at >= MOST_SECONDS

    def take(self, branding: Branding) -> None:
        """Use a branding from now on."""
        self.current = look_of(branding)
        self._read_at = self._clock()
