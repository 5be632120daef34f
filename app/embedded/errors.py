"""What can go wrong with embedded servers, each with what would be right."""

from collections.abc import Sequence
from pathlib import Path


class EmbeddedError(Exception):
    """An embedded server cannot be had; the message says what, where, and what would be right."""


class BinaryMissingError(EmbeddedError):
    """No usable program of that kind is on this machine."""

    def __init__(self, program: str, *, looked_in: Sequence[str], remedy: str) -> None:
        self.program = program
        self.looked_in = tuple(looked_in)
        self.remedy = remedy
        super().__init__(f"{program} was not found. Looked in: {'; '.join(looked_in)}. {remedy}")


class BinaryUnreadableError(EmbeddedError):
    """The program is there, but the account that must run it cannot reach it."""

    def __init__(self, program: Path, *, account: str, remedy: str) -> None:
        self.program = program
        self.account = account
        self.remedy = remedy
        super().__init__(f"{program} cannot be run by the account {account}, which PostgreSQL needs. {remedy}")


class DataDirectoryInUseError(EmbeddedError):
    """Another supervisor holds the data directory."""

    def __init__(self, data_dir: Path, *, pid: int | None) -> None:
        self.data_dir = data_dir
        self.pid = pid
        other = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The data directory {data_dir} is in use by {other}. "
            "Stop that one first, or set BUDSTIKKE_DATA_DIR to another directory."
        )


class DataDirectoryUnusableError(EmbeddedError):
    """The data directory cannot be made or written."""

    def __init__(self, data_dir: Path, *, cause: OSError) -> None:
        self.data_dir = data_dir
        super().__init__(
            f"The data directory {data_dir} cannot be used: {cause.strerror} ({cause.filename}). "
            "Give this account write access to it, or set BUDSTIKKE_DATA_DIR to a directory of its own."
        )


class ChildFailedError(EmbeddedError):
    """A child ended before it was ready, or was not ready in time, or (a command) did not succeed."""

    def __init__(self, name: str, *, what: str, log: Path, last_lines: str) -> None:
        self.name = name
        self.log = log
        super().__init__(f"{name} {what}. Its last words ({log}):\n{last_lines or '(none)'}")


class StopRequestedError(EmbeddedError):
    """SIGINT or SIGTERM came while the supervisor was starting children; its `with` block ends quietly."""
