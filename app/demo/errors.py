"""What can go wrong in the demo; each message says what, where, and what would be right."""


class DemoError(Exception):
    """The demo cannot go on."""


class ApiRefused(DemoError):  # noqa: N818 - what happened
    """The API answered with a problem."""

    def __init__(self, method: str, path: str, *, status: int, detail: str) -> None:
        self.status = status
        super().__init__(f"{method} {path} was answered {status}: {detail}")


class TookTooLong(DemoError):  # noqa: N818 - what happened
    """Something did not come about in time."""

    def __init__(self, what: str, *, seconds: float, seen: str = "") -> None:
        last = f" Last seen: {seen}." if seen else ""
        super().__init__(f"{what}: not within {seconds:.0f} s.{last} The logs, in data/log of the demo, tell more.")


class WentWrong(DemoError):  # noqa: N818 - what happened
    """Work ended in another way than it should."""

    def __init__(self, what: str, *, state: str, why: str) -> None:
        super().__init__(f"{what} ended as {state}: {why}")


class UnexpectedAnswer(DemoError):  # noqa: N818 - what happened
    """A recipient's click, pixel or page was answered in a way no reader could use."""

    def __init__(self, what: str, *, status: int, expected: str) -> None:
        super().__init__(f"{what} was answered {status}; a reader needs {expected}.")


class NotEmbedded(DemoError):  # noqa: N818 - what is the case
    """Servers are configured, so no mail would be caught."""

    def __init__(self) -> None:
        super().__init__(
            "The demo plays with embedded servers and catches every message, but servers are configured. Unset "
            "BUDSTIKKE_DATABASE_URL, BUDSTIKKE_REDIS_URL and BUDSTIKKE_SMTP_URL for it."
        )


class FileMissing(DemoError):  # noqa: N818 - what is the case
    """The file to import is not there."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} is missing. The demo imports it: run the demo from a clone of the repository.")


class MessageUnusable(DemoError):  # noqa: N818 - what is the case
    """A caught message lacks what every message of a mailing has."""

    def __init__(self, *, file: str, lacks: str) -> None:
        super().__init__(f"The caught message {file} has no {lacks}.")


class TooFewMessages(DemoError):  # noqa: N818 - what is the case
    """The mailing is too small for all who play in the demo."""

    def __init__(self, *, caught: int, needed: int) -> None:
        super().__init__(f"{caught} messages were caught; the recipients of {needed} have a part to play.")


class ChecksFailed(DemoError):  # noqa: N818 - what happened
    """Numbers do not add up."""

    def __init__(self, claims: list[str]) -> None:
        self.claims = claims
        super().__init__(f"The numbers do not add up: {'; '.join(claims)}. No summary was written.")
