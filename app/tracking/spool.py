"""The spool of events: what was answered is on this machine's disk first, and in PostgreSQL a moment later.

A process appends to a spool of its own, a row of segments; one drainer per directory reads all spools (`draining`).

- What `append` has returned from is on disk: it survives the death of the process, of PostgreSQL, and of the machine.
- Every event of a spool has a number, 0, 1, 2, …; the drainer stores events together with the number that comes next
  (`engagement_spool.drained`), in one transaction, so none is stored twice.
- The lock on a spool's last segment tells whether its process lives. Dead spools are drained like live ones.

A segment is filled with zeros before it is used, since writing into a file's middle and syncing it costs a tenth of
making a file longer. Frames follow one another in it, each with a checksum that covers its spool's name; the first
that does not fit is the end. A frame that could not be written whole is written again into another segment under the
same numbers: the reader passes over numbers that it has seen.
"""

import errno
import fcntl
import os
import re
import secrets
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

SEGMENT_OCTETS: Final = 4 << 20  # some 25 000 events
LONGEST_FRAME: Final = 256 << 10  # octets; a frame is read and checked whole
_AHEAD: Final = 0.25  # of a segment: from here on the next one is prepared

_MAGIC: Final = 0xB0D5C11C
_FRAME: Final = struct.Struct("<IIIIQ")  # magic, checksum of what follows, octets of records, records, first number
_CHECKED_FROM: Final = 8
_MAGIC_OCTETS: Final = _MAGIC.to_bytes(4, "little")
_LENGTH: Final = struct.Struct("<H")  # of a record's further octets

_NAME = re.compile(r"(?P<owner>[0-9a-f]{32})\.(?P<number>\d{8})\.spool")


class SpoolFullError(OSError):
    """The spools together have as many octets as they may: the database has been away for long."""


@dataclass(slots=True)
class _Segment:
    path: Path
    descriptor: int
    end: int = 0  # octets in use
    broken: bool = False  # a write failed: nothing more is written to it


class Spool:
    """The spool of one live process. One thread appends. Raises OSError when the directory cannot be used."""

    def __init__(self, directory: Path, *, limit: int, segment_octets: int = SEGMENT_OCTETS) -> None:
        self.owner = secrets.token_hex(16)
        self.number = 0
        """Of the event that is appended next."""
        self._salt = crc32(self.owner.encode("ascii"))
        self._directory = directory
        self._limit = limit
        self._segment_octets = segment_octets
        self._segment_number = 0
        self._preparing: threading.Thread | None = None
        self._prepared: tuple[Path, int] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._segment = self._next_segment()

    def append(self, records: Sequence[bytes]) -> None:
        """Put records on disk. Each begins with the number of its further octets, in two, the low one first.

        Raises OSError when the disk does not take them, SpoolFullError among them. Then none of them counts, and the
        next call must begin with the same records.
        """
        number = self.number
        try:
            for frame_records in _portions(records):
                frame = _frame(self._salt, number, frame_records)
                if self._segment.broken or self._segment.end + len(frame) > self._segment_octets:
                    self._turn_over()
                segment = self._segment
                # Written and synced in one call: the thread lets go of the interpreter once, and must get it back once.
                if os.pwritev(segment.descriptor, [frame], segment.end, os.RWF_DSYNC) != len(frame):
                    raise OSError(errno.ENOSPC, "no space for a whole frame")  # noqa: TRY301 - as the system would say
                segment.end += len(frame)
                number += len(frame_records)
        except OSError:
            self._segment.broken = True
            raise
        self.number = number
        if self._segment.end > self._segment_octets * _AHEAD and self._preparing is None and self._prepared is None:
            self._preparing = threading.Thread(target=self._prepare, name="spool segment", daemon=True)
            self._preparing.start()

    def close(self) -> None:
        """Let go of it: from now on it is a dead one, which the drainer deletes when it is drained."""
        if self._preparing is not None:
            self._preparing.join()
        if self._prepared is not None:
            path, descriptor = self._prepared
            path.unlink(missing_ok=True)
            os.close(descriptor)
            self._prepared = None
        os.close(self._segment.descriptor)

    def _turn_over(self) -> None:
        before = self._segment
        self._segment = self._next_segment()
        os.close(before.descriptor)

    def _next_segment(self) -> _Segment:
        """Begin a segment. It is locked before it has its name: nobody can find it unlocked and think us dead."""
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        if _octets_in(self._directory) > self._limit:
            raise SpoolFullError(errno.ENOSPC, f"the spools have more than {self._limit} octets")
        hidden, descriptor = self._prepared or self._create()
        self._prepared = None
        self._segment_number += 1
        path = self._directory / f"{self.owner}.{self._segment_number:08}.spool"
        hidden.rename(path)
        _sync_directory(self._directory)
        return _Segment(path, descriptor)

    def _prepare(self) -> None:
        with suppress(OSError):  # it is tried again when the segment is needed, and told then
            self._prepared = self._create()

    def _create(self) -> tuple[Path, int]:
        hidden = self._directory / f"{self.owner}.{secrets.token_hex(4)}.new"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            zeros = bytes(min(self._segment_octets, 1 << 20))
            for start in range(0, self._segment_octets, len(zeros)):
                if os.pwrite(descriptor, zeros, start) != len(zeros):
                    raise OSError(errno.ENOSPC, "no space for a segment")  # noqa: TRY301
            os.fsync(descriptor)
        except OSError:
            hidden.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return hidden, descriptor


def _portions(records: Sequence[bytes]) -> Iterator[list[bytes]]:
    portion: list[bytes] = []
    octets = 0
    for record in records:
        portion.append(record)
        octets += len(record)
        if octets > LONGEST_FRAME - 4096:
            yield portion
            portion, octets = [], 0
    if portion:
        yield portion


def _frame(salt: int, number: int, records: Sequence[bytes]) -> bytes:
    body = b"".join(records)
    head = _FRAME.pack(_MAGIC, 0, len(body), len(records), number)[_CHECKED_FROM:]
    checksum = crc32(body, crc32(head, salt))
    return struct.pack("<II", _MAGIC, checksum) + head + body


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _octets_in(directory: Path) -> int:
    octets = 0
    for entry in os.scandir(directory):
        if entry.name.endswith(".spool"):
            with suppress(FileNotFoundError):
                octets += entry.stat().st_size
    return octets


@dataclass(slots=True)
class Portion:
    """Records in a row: those with the numbers from `first` on, and how many were lost before them."""

    first: int
    records: list[bytes]
    lost: int = 0

    @property
    def end(self) -> int:
        """The number after the last record."""
        return self.first + len(self.records)


class Follower:
    """Reads one spool from a number on, while it is written or after its process died."""

    def __init__(self, directory: Path, owner: str, *, number: int) -> None:
        self.owner = owner
        self.number = number
        """Of the event that is read next."""
        self._directory = directory
        self._salt = crc32(owner.encode("ascii"))
        self._segments: list[Path] = []
        self._descriptor: int | None = None
        self._offset = 0

    def notice(self, segments: Sequence[Path]) -> None:
        """Learn which segments there are, oldest first."""
        self._segments = list(segments)

    def read(self, most: int) -> Portion | None:
        """Return what comes next, at least one record and about `most`; None when there is nothing more for now.

        Read on only when the portion before is stored: segments that were read to their end are deleted.
        """
        while self._segments:
            portion = self._read_segment(most)
            if portion is not None or len(self._segments) == 1:
                return portion
            # The next one was begun when nothing more was written to this one: here is its end, or damage.
            if not self._skip_damage():
                self._leave(self._segments.pop(0))
        return None

    def finish(self) -> bool:
        """Delete a spool whose process is dead, once all of it is stored. False if the process lives."""
        if len(self._segments) != 1:
            return False
        path = self._segments[0]
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._descriptor is None or self._frame_at(descriptor, self._offset) or self._skip_damage():
                return False  # there is more to read
            self._leave(path)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def close(self) -> None:
        """Let go of the file that is read."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _leave(self, path: Path) -> None:
        self.close()
        self._offset = 0
        path.unlink(missing_ok=True)

    def _skip_damage(self) -> bool:
        """Go to the next whole frame behind octets that are none, where there is one: a disk may lose a block.

        The end of a segment whose process was killed may be torn as well, but nothing follows it.
        """
        if self._descriptor is None:
            return False
        rest = os.pread(self._descriptor, SEGMENT_OCTETS * 4, self._offset)
        place = rest.find(_MAGIC_OCTETS, 1)
        while place >= 0:
            if self._frame_at(self._descriptor, self._offset + place) is not None:
                self._offset += place
                return True
            place = rest.find(_MAGIC_OCTETS, place + 1)
        return False

    def _read_segment(self, most: int) -> Portion | None:
        if self._descriptor is None:
            self._descriptor = os.open(self._segments[0], os.O_RDONLY)
        portion: Portion | None = None
        while portion is None or len(portion.records) < most:
            frame = self._frame_at(self._descriptor, self._offset)
            if frame is None:
                break
            octets, first, records = frame
            if portion is not None and first != portion.end:
                break  # a gap, or numbers seen before: the beginning of a portion deals with it
            self._offset += octets
            if portion is not None:
                portion.records += records
            elif first + len(records) > self.number:
                seen = max(0, self.number - first)
                portion = Portion(first + seen, records[seen:], lost=max(0, first - self.number))
        if portion is not None:
            self.number = portion.end
        return portion

    def _frame_at(self, descriptor: int, offset: int) -> tuple[int, int, list[bytes]] | None:
        """Return (octets, first number, records) of the frame there; None where none is, or not all of it."""
        head = os.pread(descriptor, _FRAME.size, offset)
        if len(head) < _FRAME.size:
            return None
        magic, checksum, octets, count, first = _FRAME.unpack(head)
        if magic != _MAGIC or octets > 2 * LONGEST_FRAME:
            return None
        body = os.pread(descriptor, octets, offset + _FRAME.size)
        if crc32(body, crc32(head[_CHECKED_FROM:], self._salt)) != checksum:
            return None
        records: list[bytes] = []
        place = 0
        for _ in range(count):
            end = place + _LENGTH.size + _LENGTH.unpack_from(body, place)[0]
            records.append(body[place:end])
            place = end
        return _FRAME.size + octets, first, records


def spools_in(directory: Path) -> dict[str, list[Path]]:
    """Return the segments of every spool by its name, oldest first."""
    found: dict[str, list[Path]] = {}
    for name in sorted(entry.name for entry in os.scandir(directory)):
        if match := _NAME.fullmatch(name):
            found.setdefault(match["owner"], []).append(directory / name)
    return found


def sweep(directory: Path) -> None:
    """Delete segments that were prepared by processes that are dead."""
    for path in directory.glob("*.new"):
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_size:  # an empty one may be on its way to its lock
                    path.unlink()
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
