"""What a page looks like: the sender's name, logo and colours, as style and policy."""

import base64
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_STYLE = (Path(__file__).parent / "templates" / "style.css").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Look:
    """How pages look. `style` is the whole style sheet; `policy` allows it by its hash, and nothing else."""

    style: str
    policy: str
    name: str = ""


def _policy(style: str) -> str:
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    # The page's own style and images of this host; forms post to where they came from; nothing may frame a page.
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


PLAIN = Look(style=_STYLE, policy=_policy(_STYLE))
"""Without a branding."""


class Looks:
    """The look of the installation, in memory: pages are answered when the database is away, too."""

    def __init__(self) -> None:
        self.current = PLAIN
