"""The journal of starts and replies: what a killed sender knew, kept where its death cannot take it (D34, exactness).

A sender writes a start record just before the first byte of a body may leave, and the reply when it has come. Records
go to the kernel with one `write`, not to the disk: they survive the death of the process, not that of the machine.
What they guarantee, while the directory is on a local file system:

- Every message whose body may have left has its start in the journal, or it was never started.
- A journal whose process is dead can be taken by one process at a time, and holds every record written, in order. Only
  the last may be torn; a torn start is one whose `write` never returned, so its message was not started.
- After a reboot (`same_boot` is false), or with a `damaged` segment, starts may be missing: what was inside the
  committed window without a result is in doubt, whatever the journal says.
- Records stay until `durable` has been told of every start up to and including their segment's; a dead journal stays
  until `DeadJournal.delete`. So recovery can be repeated, and may meet starts that were stored before: the reader must
  compare the attempt and leave what is settled alone.

One thread per journal. A process that forks without exec keeps its parent's journals locked until both are dead.
"""

import errno
import fcntl
import os
import re
import secrets
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from app.delivery.replies import Outcome

SEGMENT_RECORDS: Final = 32_768  # 512 KiB: the price of one file, one lock and one unlink per 32k records

# kind, outcome, reply code, attempt, magic, dispatch, seq. The magic tells a record from the zeros that a file system
# may leave at the end of a file after a crash.
_RECORD: Final = struct.Struct("<BBHHHII")
_MAGIC: Final = 0xB0D5
_START: Final = 1
_REPLY: Final = 2
_OUTCOMES: Final = tuple(Outcome)  # a reply's outcome is stored as its place here: append, never reorder
_OUTCOME_NUMBERS: Final = {outcome: number for number, outcome in enumerate(_OUTCOMES)}

_LEFTOVER_AGE: Final = 3600  # seconds; far beyond any pause between making a segment and naming it

_SEGMENT_NAME = re.compile(r"(?P<owner>(?P<boot>[0-9a-f-]{36})-\d+-[0-9a-f]{16})\.(?P<number>\d{8})\.journal")


class JournalFullError(OSError):
    """The journal cannot be written (no space, a quota, a read-only disk): nothing more may be started."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One start as a dead sender left it. `outcome` and `code` are None where it knew no result."""

    dispatch: int
    seq: int
    attempt: int
    outcome: Outcome | None
    code: int | None


@cache
def boot_id() -> str:
    """Name this boot of this machine (Linux: /proc/sys/kernel/random/boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def owner_name() -> str:
    """Make a new name for one sender: boot, process, and 64 random bits for processes in other PID namespaces."""
    return f"{boot_id()}-{os.getpid()}-{secrets.token_hex(8)}"


@dataclass(slots=True)
class _Segment:
    path: Path
    descriptor: int
    records: int = 0
    open_starts: int = 0  # not yet durable
    sealed: bool = False  # full, or torn: nothing more is written to it


class Journal:
    """The journal of one live sender: `owner` is its name, also on the chunks it claims.

    Raises JournalFullError if the first segment cannot be made.
    """

    def __init__(self, directory: Path, *, segment_records: int = SEGMENT_RECORDS) -> None:
        self.owner = owner_name()
        self.failure: JournalFullError | None = None  # why `start` or `flush` last said False; None once it works again
        self._directory = directory
        self._limit = segment_records
        self._segments: deque[_Segment] = deque()
        self._open: dict[tuple[int, int, int], _Segment] = {}
        self._replies: list[bytes] = []
        self._number = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._begin_segment()

    def start(self, dispatch: int, seq: int, attempt: int) -> bool:
        """Record that the body is about to leave, together with the replies that waited. False: it must not leave.

        `dispatch` and `seq` are below 2**32, `attempt` below 2**16. Costs one `write`.
        """
        record = _RECORD.pack(_START, 0, 0, attempt, _MAGIC, dispatch, seq)
        if not self._write(record):
            return False
        key = (dispatch, seq, attempt)
        if key in self._open:  # it came back as not started and begins again
            self._open[key].open_starts -= 1
        self._open[key] = segment = self._segments[-1]
        segment.open_starts += 1
        return True

    def reply(self, dispatch: int, seq: int, attempt: int, outcome: Outcome, code: int | None) -> None:
        """Record what became of a start; written with the next start or `flush`."""
        self._replies.append(_RECORD.pack(_REPLY, _OUTCOME_NUMBERS[outcome], code or 0, attempt, _MAGIC, dispatch, seq))

    def flush(self) -> bool:
        """Write the replies that wait. False if they cannot be written; they are kept for the next try."""
        return not self._replies or self._write(b"")

    def durable(self, starts: Iterable[tuple[int, int, int]]) -> None:
        """Forget starts (dispatch, seq, attempt) whose results are committed; unknown ones are passed over."""
        for start in starts:
            segment = self._open.pop(start, None)
            if segment is not None:
                segment.open_starts -= 1
        # Oldest first only: the reply to a start may stand in a later segment than the start.
        while len(self._segments) > 1 and self._segments[0].open_starts == 0:
            _delete(self._segments.popleft())

    def close(self, *, keep: bool = False) -> None:
        """Give the journal up: nothing more can be started; what is not durable stays for whoever recovers it.

        `keep` leaves all of it: an owner whose chunks could not be released needs a journal, even an empty one, to
        prove what it had not started.
        """
        self.flush()
        while self._segments and self._segments[0].open_starts == 0 and not keep:
            _delete(self._segments.popleft())
        for segment in self._segments:
            os.close(segment.descriptor)
        self._segments.clear()
        self._open.clear()

    def _write(self, record: bytes) -> bool:
        if not self._segments:
            self.failure = JournalFullError(errno.EBADF, "the journal is closed")
            return False
        data = b"".join((*self._replies, record)) if self._replies else record
        try:
            if self._segments[-1].sealed:
                self._begin_segment()
            segment = self._segments[-1]
            if os.write(segment.descriptor, data) != len(data):
                self._take_back(segment)
                self.failure = JournalFullError(errno.ENOSPC, "cannot write the journal: no space for a whole record")
                return False
        except OSError as error:
            self.failure = JournalFullError(error.errno, f"cannot write the journal: {error.strerror}")
            return False
        self.failure = None
        self._replies.clear()
        segment.records += len(data) // _RECORD.size
        segment.sealed = segment.records >= self._limit
        return True

    def _take_back(self, segment: _Segment) -> None:
        """Remove the part of a write that did fit, so that no start stands there which was never made."""
        try:
            os.ftruncate(segment.descriptor, segment.records * _RECORD.size)
        except OSError:
            segment.sealed = True  # a torn record may only be a segment's last

    def _begin_segment(self) -> None:
        self._number += 1
        path = self._directory / f"{self.owner}.{self._number:08}.journal"
        try:
            self._segments.append(_Segment(path, _create_locked(path)))
        except OSError as error:
            raise JournalFullError(error.errno, f"cannot begin a journal segment: {error.strerror}") from error


def _create_locked(path: Path) -> int:
    """Create a segment that has its lock before it has its name: nobody can find it unlocked and think it dead."""
    hidden = path.with_suffix(".new")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
    except OSError:
        os.close(descriptor)
        hidden.unlink(missing_ok=True)
        raise
    return descriptor


def _delete(segment: _Segment) -> None:
    segment.path.unlink(missing_ok=True)
    os.close(segment.descriptor)


@contextmanager
def recovery_lock(directory: Path) -> Iterator[bool]:
    """Hold the right to recover for this machine: False while another process has it.

    Who doubts windows must know that no journal that could tell is being read by somebody else at this moment.
    """
    if not directory.is_dir():  # no sender ever ran here
        yield True
        return
    descriptor = os.open(directory / "recovery.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class DeadJournal:
    """A dead sender's journal, locked by this process until `release` or `delete`."""

    owner: str
    same_boot: bool
    damaged: bool  # something in it is no record: starts may be missing
    entries: tuple[Entry, ...]
    _held: list[tuple[Path, int]] = field(repr=False)

    def delete(self) -> None:
        """Remove it, once its entries and the release of its owner's chunks are committed."""
        # Oldest first: if this is interrupted, replies without starts may remain, never starts without their replies.
        for path, _ in self._held:
            path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go of it; somebody may read it again."""
        for _, descriptor in self._held:
            os.close(descriptor)
        self._held.clear()


def read_dead(directory: Path) -> Iterator[DeadJournal]:
    """Take the journals whose senders are dead, one at a time, oldest name first.

    Never a live one, be it of this process: each holds its own lock. The caller ends each with `delete` or `release`.
    """
    owners: dict[str, list[Path]] = {}
    for path in sorted(directory.glob("*.journal")):
        if name := _SEGMENT_NAME.fullmatch(path.name):
            owners.setdefault(name["owner"], []).append(path)
    for leftover in directory.glob("*.new"):  # killed between making a segment and naming it, in a few microseconds
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_AGE:
                leftover.unlink()
    for owner, paths in owners.items():
        held = _take_locks(paths)
        if held:
            yield _read(owner, held)


def _take_locks(paths: list[Path]) -> list[tuple[Path, int]]:
    """Lock all segments of one owner, oldest first; none if its sender lives or another process was here first."""
    held: list[tuple[Path, int]] = []
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # deleted since it was listed
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            for _, other in held:
                os.close(other)
            return []
        if os.fstat(descriptor).st_nlink:
            held.append((path, descriptor))
        else:  # deleted between open and lock
            os.close(descriptor)
    return held


def _read(owner: str, held: list[tuple[Path, int]]) -> DeadJournal:
    found: dict[tuple[int, int, int], Entry] = {}
    damaged = False
    for path, _ in held:
        data = path.read_bytes()
        for kind, outcome, code, attempt, magic, dispatch, seq in _RECORD.iter_unpack(
            data[: len(data) - len(data) % _RECORD.size]
        ):
            if magic != _MAGIC or kind not in (_START, _REPLY) or outcome >= len(_OUTCOMES):
                damaged = True
                break
            # The last record counts: a message that came back as not started may have begun again.
            result = (_OUTCOMES[outcome], code or None) if kind == _REPLY else (None, None)
            found[dispatch, seq, attempt] = Entry(dispatch, seq, attempt, *result)
    return DeadJournal(owner, owner.startswith(boot_id()), damaged, tuple(found.values()), held)
