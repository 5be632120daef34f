"""The journal: what a start costs and promises, and what is left of it when its sender is killed."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.journal import DeadJournal, Entry, Journal, JournalFullError, boot_id, owner_name, read_dead
from app.delivery.replies import Outcome

A, D, N = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.NOT_STARTED

# A sender that says each start once it is made, and its result after the next: as many as it is told, or for ever.
SENDER = """
import sys
from pathlib import Path
from app.delivery.journal import Journal
from app.delivery.replies import Outcome

journal = Journal(Path(sys.argv[1]), segment_records=100)
print(journal.owner, flush=True)
count = int(sys.argv[2])
number = 0
while number != count:
    number += 1
    assert journal.start(7, number, 1)
    print(number, flush=True)
    if number % 3:
        journal.reply(7, number, 1, Outcome.ACCEPTED, 250)
    if number % 50 == 0:
        journal.durable([(7, n, 1) for n in range(number - 99, number - 20)])
if count > 0:
    print("done", flush=True)
    sys.stdin.read()
"""


def sender(directory: Path, count: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SENDER, str(directory), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def kill(process: subprocess.Popen) -> list[str]:
    with process:
        process.send_signal(signal.SIGKILL)
        return process.stdout.read().split()


def take(directory: Path) -> DeadJournal:
    (dead,) = read_dead(directory)
    return dead


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def left_by(directory: Path, write) -> tuple[Entry, ...]:
    """What recovery reads of a journal after its sender did something and went away."""
    journal = Journal(directory, segment_records=8)
    write(journal)
    for segment in journal._segments:  # as its death would
        os.close(segment.descriptor)
    dead = take(directory)
    dead.delete()
    return dead.entries


def test_starts_and_replies_are_read_back(tmp_path):
    def write(journal):
        assert journal.start(1, 2, 3)
        assert journal.start(4_294_967_295, 4_294_967_295, 65_535)
        journal.reply(1, 2, 3, D, 451)
        assert journal.flush()

    assert left_by(tmp_path, write) == (
        Entry(1, 2, 3, D, 451),
        Entry(4_294_967_295, 4_294_967_295, 65_535, None, None),
    )
    assert files(tmp_path) == []


def test_reply_is_written_with_the_next_start(tmp_path):
    def write(journal):
        journal.start(1, 1, 1)
        journal.reply(1, 1, 1, A, 250)
        journal.start(1, 2, 1)
        journal.reply(1, 2, 1, A, 250)

    assert left_by(tmp_path, write) == (Entry(1, 1, 1, A, 250), Entry(1, 2, 1, None, None))


def test_message_that_came_back_and_began_again_is_in_doubt(tmp_path):
    def write(journal):
        journal.start(1, 1, 1)
        journal.reply(1, 1, 1, N, None)
        journal.start(1, 1, 1)

    assert left_by(tmp_path, write) == (Entry(1, 1, 1, None, None),)


EVENTS = st.lists(st.tuples(st.sampled_from(["start", "reply", "flush", "durable"]), st.integers(1, 6)), max_size=60)


@given(events=EVENTS)
def test_nothing_undurable_is_ever_lost(events, tmp_path_factory):
    directory = tmp_path_factory.mktemp("journal")
    open_starts: dict[int, object] = {}

    def write(journal):
        for event, seq in events:
            if event == "start":
                journal.start(9, seq, 1)
                open_starts[seq] = (None,)
            elif event == "reply" and seq in open_starts:
                journal.reply(9, seq, 1, A, 250)
                open_starts[seq] = (None, A)
            elif event == "flush":
                journal.flush()
                open_starts.update({seq: (found[-1],) for seq, found in open_starts.items()})
            elif event == "durable":
                journal.durable([(9, seq, 1)])
                open_starts.pop(seq, None)

    left = {entry.seq: entry.outcome for entry in left_by(directory, write)}
    for seq, allowed in open_starts.items():  # an unflushed reply may be lost, its start may not
        assert left[seq] in allowed


def test_segment_goes_when_all_up_to_it_is_durable(tmp_path):
    journal = Journal(tmp_path, segment_records=2)
    for seq in range(1, 6):
        journal.start(1, seq, 1)
    assert len(files(tmp_path)) == 3
    journal.durable([(1, 3, 1), (1, 4, 1), (1, 1, 1)])
    assert len(files(tmp_path)) == 3  # the first still has an open start, and its reply may stand in the second
    journal.durable([(1, 2, 1)])
    assert len(files(tmp_path)) == 1
    journal.durable([(1, 5, 1), (1, 99, 1)])
    journal.close()
    assert files(tmp_path) == []


def test_closed_journal_starts_nothing_and_leaves_what_is_not_durable(tmp_path):
    journal = Journal(tmp_path)
    journal.start(1, 1, 1)
    journal.reply(1, 1, 1, A, 250)
    journal.close()
    assert not journal.start(1, 2, 1)
    dead = take(tmp_path)
    assert dead.entries == (Entry(1, 1, 1, A, 250),)
    dead.release()


def test_live_journal_of_this_process_is_never_dead(tmp_path):
    journal = Journal(tmp_path, segment_records=2)
    for seq in range(5):
        journal.start(1, seq, 1)
    assert list(read_dead(tmp_path)) == []
    assert len(files(tmp_path)) == 3
    journal.close()


def test_live_journal_of_another_process_is_never_dead(tmp_path):
    process = sender(tmp_path, 250)
    assert "done\n" in iter(process.stdout.readline, "")
    assert list(read_dead(tmp_path)) == []
    kill(process)
    take(tmp_path).delete()


def test_dead_journal_is_taken_by_one_at_a_time(tmp_path):
    Journal(tmp_path).close()
    journal = Journal(tmp_path)
    journal.start(1, 1, 1)
    journal.close()
    first = take(tmp_path)
    assert list(read_dead(tmp_path)) == []
    first.release()
    second = take(tmp_path)
    assert second.entries == first.entries
    second.delete()
    assert list(read_dead(tmp_path)) == []


@pytest.mark.parametrize("round_number", range(3))
def test_killed_sender_leaves_every_start_it_made(tmp_path, round_number):
    process = sender(tmp_path, -1)
    owner = process.stdout.readline().strip()
    said = [int(process.stdout.readline()) for _ in range(300 + 250 * round_number)]
    said += map(int, kill(process)[:-1])  # the last may be cut off by the kill
    dead = take(tmp_path)
    assert (dead.owner, dead.same_boot, dead.damaged) == (owner, True, False)
    entries = {entry.seq: entry for entry in dead.entries}
    # All since the last `durable` are there; the last start but one has its reply, the last may have none.
    assert set(range(said[-1] - 19, said[-1] + 1)) <= set(entries)
    assert all(entries[seq].outcome is (A if seq % 3 else None) for seq in said[-20:-1])
    dead.delete()
    assert list(tmp_path.glob("*.journal")) == []  # the kill may have left a segment that had no name yet


def test_torn_last_record_was_never_a_start(tmp_path):
    journal = Journal(tmp_path)
    journal.start(1, 1, 1)
    journal.start(1, 2, 1)
    path = journal._segments[0].path
    journal.close()
    os.truncate(path, path.stat().st_size - 1)
    dead = take(tmp_path)
    assert dead.entries == (Entry(1, 1, 1, None, None),)
    assert not dead.damaged
    dead.delete()


def test_zeros_of_a_crashed_file_system_are_seen_as_damage(tmp_path):
    journal = Journal(tmp_path)
    journal.start(1, 1, 1)
    path = journal._segments[0].path
    journal.close()
    with path.open("ab") as file:
        file.write(bytes(64))
    dead = take(tmp_path)
    assert dead.damaged
    assert dead.entries == (Entry(1, 1, 1, None, None),)
    dead.delete()


def test_journal_of_another_boot_says_so(tmp_path):
    journal = Journal(tmp_path)
    journal.start(1, 1, 1)
    path = journal._segments[0].path
    journal.close()
    path.rename(path.with_name(path.name.replace(boot_id(), "00000000-0000-4000-8000-000000000000")))
    dead = take(tmp_path)
    assert not dead.same_boot
    dead.delete()


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "notes.journal").write_text("hei")
    (tmp_path / "README").write_text("hei")
    assert list(read_dead(tmp_path)) == []
    assert files(tmp_path) == ["README", "notes.journal"]


def test_missing_directory_holds_no_dead_journal(tmp_path):
    assert list(read_dead(tmp_path / "none")) == []


def test_owner_names_differ_and_carry_the_boot():
    assert owner_name() != owner_name()
    assert owner_name().startswith(f"{boot_id()}-{os.getpid()}-")


@pytest.fixture
def small_disk():
    """Files of this process may not grow beyond 100 octets: six records and a part of the seventh."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_starts_nothing_more_and_leaves_no_half_start(tmp_path, small_disk):
    journal = Journal(tmp_path)
    assert [journal.start(1, seq, 1) for seq in range(1, 9)] == [True] * 6 + [False] * 2
    assert isinstance(journal.failure, JournalFullError)
    journal.reply(1, 1, 1, A, 250)
    assert not journal.flush()
    small_disk()  # somebody made space
    assert journal.start(1, 9, 1)
    assert journal.failure is None
    journal.close()
    dead = take(tmp_path)
    assert [entry.seq for entry in dead.entries] == [1, 2, 3, 4, 5, 6, 9]
    assert dead.entries[0].outcome is A
    assert not dead.damaged
    dead.delete()


def test_directory_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Journal(tmp_path / "file")
