"""The spool: what it gives back after whatever happened to its files."""

import errno
import os
import subprocess
import sys

import pytest

from app.platform.telemetry import Metrics
from app.tracking import recorder as recording
from app.tracking import spool as spooling
from app.tracking.events import pack
from app.tracking.recorder import Recorder
from app.tracking.spool import Follower, Spool, SpoolFullError, spools_in, sweep
from tests.conftest import ROOT

LIMIT = 1 << 30


def record(number: int, octets: int = 40) -> bytes:
    return octets.to_bytes(2, "little") + str(number).zfill(octets).encode()


def records(first: int, end: int) -> list[bytes]:
    return [record(number) for number in range(first, end)]


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path, limit=LIMIT, segment_octets=4096)
    yield spool
    spool.close()


def follow(spool, directory, number=0) -> Follower:
    follower = Follower(directory, spool.owner, number=number)
    follower.notice(spools_in(directory)[spool.owner])
    return follower


def numbers(follower) -> list[int]:
    found: list[int] = []
    while (portion := follower.read(10)) is not None:
        found += [int(each[2:]) for each in portion.records]
        assert portion.end == follower.number
    return found


def test_everything_appended_is_read_in_order_over_many_segments(spool, tmp_path):
    for first in range(0, 500, 20):
        spool.append(records(first, first + 20))
    assert len(spools_in(tmp_path)[spool.owner]) > 4
    assert numbers(follow(spool, tmp_path)) == list(range(500))
    assert len(spools_in(tmp_path)[spool.owner]) == 1  # what was read to its end is gone


def test_a_reader_goes_on_where_the_database_says(spool, tmp_path):
    for first in range(0, 200, 20):
        spool.append(records(first, first + 20))
    assert numbers(follow(spool, tmp_path, number=33)) == list(range(33, 200))
    assert numbers(follow(spool, tmp_path, number=200)) == []


def test_a_reader_keeps_up_with_a_live_writer(spool, tmp_path):
    follower = follow(spool, tmp_path)
    assert numbers(follower) == []
    for first in range(0, 300, 50):
        spool.append(records(first, first + 50))
        follower.notice(spools_in(tmp_path)[spool.owner])
        assert numbers(follower) == list(range(first, first + 50))
    assert not follower.finish()  # it lives


def test_a_dead_spool_is_deleted_when_all_of_it_was_read(spool, tmp_path):
    spool.append(records(0, 3))
    spool.close()
    follower = follow(spool, tmp_path)
    assert not follower.finish()
    assert numbers(follower) == [0, 1, 2]
    assert follower.finish()
    assert spools_in(tmp_path) == {}
    spool._segment.descriptor = os.open(tmp_path, os.O_RDONLY)  # for the fixture to close


def test_a_torn_last_frame_is_no_event(spool, tmp_path):
    spool.append(records(0, 5))
    end = spool._segment.end
    spool.append(records(5, 9))
    os.pwrite(spool._segment.descriptor, bytes(30), end + 60)
    assert numbers(follow(spool, tmp_path)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("octet", [0, 4, 9, 14, 20, 30, 80])
def test_damage_costs_only_its_frame_and_is_told(spool, tmp_path, octet):
    spool.append(records(0, 5))
    place = spool._segment.end + octet
    for first in (5, 10, 15):
        spool.append(records(first, first + 5))
    spool.append([record(20, 3300)])  # into the next segment
    with spools_in(tmp_path)[spool.owner][0].open("r+b") as segment:
        segment.seek(place)
        before = segment.read(1)
        segment.seek(place)
        segment.write(bytes((before[0] ^ 0xFF,)))
    follower = follow(spool, tmp_path)
    portions = [follower.read(1000), follower.read(1000), follower.read(1000)]
    assert [(portion.first, portion.end, portion.lost) for portion in portions if portion] == [
        (0, 5, 0), (10, 20, 5), (20, 21, 0),
    ]  # fmt: skip


def test_what_a_failed_sync_left_behind_is_not_read_twice(spool, tmp_path, monkeypatch):
    spool.append(records(0, 5))

    write = os.pwritev

    def refuse(*written):
        write(*written)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(spooling.os, "pwritev", refuse)
        with pytest.raises(OSError, match="Input/output"):
            spool.append(records(5, 8))
    follower = follow(spool, tmp_path)
    seen = numbers(follower)
    assert seen == list(range(8))
    spool.append(records(5, 12))
    follower.notice(spools_in(tmp_path)[spool.owner])
    assert seen + numbers(follower) == list(range(12))


def test_spools_that_are_too_large_take_no_more(tmp_path):
    spool = Spool(tmp_path, limit=10_000, segment_octets=4096)
    with pytest.raises(SpoolFullError):  # noqa: PT012
        while spool.number < 1000:
            spool.append(records(spool.number, spool.number + 20))
    kept = spool.number
    follower = follow(spool, tmp_path)
    assert numbers(follower) == list(range(kept))
    spool.append(records(kept, kept + 20))
    spool.close()


def test_segments_prepared_by_the_dead_are_swept(spool, tmp_path):
    live = tmp_path / f"{spool.owner}.live.new"
    descriptor = os.open(live, os.O_WRONLY | os.O_CREAT)
    spooling.fcntl.flock(descriptor, spooling.fcntl.LOCK_EX)
    os.write(descriptor, b"0")
    (tmp_path / "0.dead.new").write_bytes(b"0")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.glob("*.new")] == [live.name]
    os.close(descriptor)


def test_a_killed_process_leaves_what_it_appended(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from app.tracking.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), limit=1 << 30)\n"
        "for n in range(50): spool.append([(2).to_bytes(2, 'little') + b'%02d' % n])\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    ((owner, segments),) = spools_in(tmp_path).items()
    follower = Follower(tmp_path, owner, number=0)
    follower.notice(segments)
    assert numbers(follower) == list(range(50))
    assert follower.finish()


@pytest.fixture
async def recorder(sent):
    recorder = Recorder(sent.settings, metrics=Metrics())
    await recorder.start()
    yield recorder
    await recorder.stop()


async def test_a_disk_that_takes_nothing_keeps_no_reader_waiting_and_loses_nothing(sent, recorder, monkeypatch):
    monkeypatch.setattr(recording, "RETRY_AFTER", 0.02)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    await recorder.record(pack(sent.event(1, 1)))
    with monkeypatch.context() as full:
        full.setattr(spooling.os, "pwritev", refuse)
        for recipient_id in range(2, 6):
            await recorder.record(pack(sent.event(recipient_id, 1)))
        assert recorder.recorded == 5
        assert recorder._on_disk == 1
    await recorder.record(pack(sent.event(6, 1)))
    await recorder.stop()
    assert recorder._on_disk == 6
    ((owner, segments),) = spools_in(sent.settings.spool_dir).items()
    follower = Follower(sent.settings.spool_dir, owner, number=0)
    follower.notice(segments)
    while follower.read(100) is not None:
        pass
    assert follower.number == 6


async def test_when_memory_is_full_too_events_are_dropped_and_counted(sent, monkeypatch):
    monkeypatch.setattr(recording, "MAX_WAITING", 5)
    monkeypatch.setattr(recording, "STOP_WITHIN", 0.1)
    sent.settings.spool_dir.parent.mkdir(exist_ok=True)
    sent.settings.spool_dir.write_text("no directory")
    metrics = Metrics()
    recorder = Recorder(sent.settings, metrics=metrics)
    await recorder.start()
    await recorder.record(pack(sent.event(1, 1)))
    for recipient_id in range(2, 10):
        await recorder.record(pack(sent.event(recipient_id, 1)))
    assert metrics.registry.get_sample_value("budstikke_engagement_dropped_total") == 4
    await recorder.stop()
    assert metrics.registry.get_sample_value("budstikke_engagement_dropped_total") == 9


async def test_a_disk_that_stalls_keeps_no_reader_waiting(sent, recorder, monkeypatch):
    monkeypatch.setattr(recording, "ANSWER_WITHIN", 0.05)
    await recorder.record(pack(sent.event(1, 1)))
    released = recording.threading.Event()
    write = os.pwritev

    def stall(*written):
        released.wait(10)
        return write(*written)

    monkeypatch.setattr(spooling.os, "pwritev", stall)
    await recorder.record(pack(sent.event(2, 1)))
    assert recorder._on_disk == 1
    released.set()
