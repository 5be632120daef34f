import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from app.embedded.errors import ChildFailedError, DataDirectoryInUseError
from app.embedded.ports import listening
from app.embedded.process import Child
from app.embedded.supervisor import LONGEST_RESTART_DELAY, Supervisor, restart_delay

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
AS_NOBODY = (
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    # An interpreter under /root can then still be read; no other right of root's remains.
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
)
ACCOUNTS = ["ourselves", "nobody"] if os.geteuid() == 0 else ["ourselves"]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_for(condition, *, within=20.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.01)


def descendants(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                child = int(stat.parent.name)
                found += [child, *descendants(child)]
    return found


@contextlib.contextmanager
def small_tree(data_dir, *names, account="ourselves"):
    command = [sys.executable, str(ROOT / "tests/embedded/small_tree.py"), str(data_dir), *names]
    if account == "nobody":
        data_dir.mkdir()
        os.chown(data_dir, 65534, 65534)
        command = [*AS_NOBODY, *command]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read().decode()
            yield process, json.loads(line)
        finally:
            process.kill()


@pytest.mark.parametrize("account", ACCOUNTS)
def test_kill_9_of_the_supervisor_leaves_nothing_running(tmp_path, account):
    with small_tree(tmp_path / "data", "postgres", "valkey", "catcher", "sleeper", account=account) as (process, said):
        everyone = descendants(said["pid"])
        assert len(said["children"]) == 4
        assert len(everyone) > 4  # PostgreSQL's own processes too
        process.kill()
        process.wait()
    wait_for(lambda: not any(alive(pid) for pid in everyone))


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_data_survive_a_stop_and_a_kill_of_the_supervisor(tmp_path, account):
    data_dir = tmp_path / "data"
    with small_tree(data_dir, "postgres", account=account) as (process, said):
        connection = await asyncpg.connect(said["urls"]["postgres"])
        await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('before the stop')")
        await connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    for word in ("before the kill", "after the kill"):
        with Supervisor(data_dir, say=lambda _line: None) as supervisor:
            connection = await asyncpg.connect(supervisor.postgres(durable=False).url)
            await connection.execute("INSERT INTO kept VALUES ($1)", word)
            await connection.close()
            if word == "before the kill":
                pid_file = data_dir / "postgres/cluster/postmaster.pid"
                os.kill(int(pid_file.read_text().partition("\n")[0]), signal.SIGKILL)
    with Supervisor(data_dir, say=lambda _line: None) as supervisor:
        connection = await asyncpg.connect(supervisor.postgres(durable=False).url)
        words = [row["word"] for row in await connection.fetch("SELECT word FROM kept")]
        await connection.close()
    assert words == ["before the stop", "before the kill", "after the kill"]


def test_a_new_supervisor_starts_right_after_the_old_one_was_killed(tmp_path):
    with small_tree(tmp_path / "data", "postgres", "valkey") as (process, _):
        process.kill()
    with small_tree(tmp_path / "data", "postgres", "valkey") as (process, said):
        assert len(said["children"]) == 2
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_a_second_supervisor_is_refused_and_told_who_is_there(tmp_path):
    with small_tree(tmp_path / "data") as (process, said):
        with pytest.raises(DataDirectoryInUseError) as refusal, Supervisor(tmp_path / "data"):
            pass
        assert refusal.value.pid == said["pid"] == process.pid
        assert f"in use by process {process.pid}" in str(refusal.value)
        assert "BUDSTIKKE_DATA_DIR" in str(refusal.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_stages_in_reverse_order(tmp_path, number):
    with small_tree(tmp_path / "data", "first", "second", "third") as (process, said):
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        lines = process.stderr.read().decode().splitlines()
        assert lines == [
            f"stopping, because of {number.name}",
            "stopping third",
            "stopping second",
            "stopping first",
        ]
        assert not any(alive(pid) for pid in said["children"])


def test_a_child_that_ends_is_started_again_and_this_is_said(tmp_path):
    with small_tree(tmp_path / "data", "sleeper") as (process, said):
        (first,) = said["children"]
        os.kill(first, signal.SIGKILL)
        assert b"sleeper was ended by SIGKILL; starting it again in 0.5 s" in process.stderr.readline()
        wait_for(lambda: [pid for pid in descendants(process.pid) if alive(pid)] not in ([], [first]))


async def test_a_database_that_ends_is_started_again_at_the_same_address(tmp_path):
    with small_tree(tmp_path / "data", "postgres") as (process, said):
        os.kill(said["children"][0], signal.SIGKILL)
        assert b"postgres was ended by SIGKILL" in process.stderr.readline()
        port = int(said["urls"]["postgres"].rpartition(":")[2].partition("/")[0])
        wait_for(lambda: not listening(port))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                connection = await asyncpg.connect(said["urls"]["postgres"], timeout=5)
                break
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


def test_a_stop_while_children_start_is_an_ordinary_stop(tmp_path):
    said = []
    with Supervisor(tmp_path / "data", say=said.append) as supervisor:

        def never_ready():
            os.kill(os.getpid(), signal.SIGTERM)
            return False

        supervisor.start(Child(name="slow", argv=SLEEP, ready=never_ready))
        said.append("not reached")
    assert said == ["stopping slow"]


def test_a_stop_interrupts_a_command(tmp_path):
    with Supervisor(tmp_path / "data", say=lambda _line: None) as supervisor:
        subprocess.Popen([sys.executable, "-c", f"import os; os.kill({os.getpid()}, 15)"]).wait()
        supervisor.run(Child(name="long", argv=SLEEP))
        pytest.fail("not reached")


def test_a_child_that_fails_to_start_is_named_with_its_last_words(tmp_path):
    fails = [sys.executable, "-c", "import sys; sys.exit('the port is taken')"]
    with (
        pytest.raises(ChildFailedError, match=r"api ended with exit code 1 before it was ready.*\n.*port is taken"),
        Supervisor(tmp_path / "data", say=lambda _line: None) as supervisor,
    ):
        supervisor.start(Child(name="api", argv=fails, ready=lambda: False))


def test_a_command_that_fails_is_named_with_its_last_words(tmp_path):
    with Supervisor(tmp_path / "data", say=lambda _line: None) as supervisor:
        supervisor.run(Child(name="works", argv=[sys.executable, "-c", ""]))
        with pytest.raises(ChildFailedError, match=r"migrate ended with exit code 1\..*\ncannot run no-such-program"):
            supervisor.run(Child(name="migrate", argv=["no-such-program"]))


def test_a_child_that_does_not_listen_is_killed_in_the_end(tmp_path):
    deaf = [
        sys.executable,
        "-c",
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)",
    ]
    log = tmp_path / "data/log/deaf.log"
    with Supervisor(tmp_path / "data", say=lambda _line: None) as supervisor:
        signals = ((signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0))
        supervisor.start(Child(name="deaf", argv=deaf, ready=lambda: log.stat().st_size > 0, stop_signals=signals))
        pid = int(log.read_text())
    assert not alive(pid)


def test_the_data_directory_is_ours_alone_and_logs_are_files(tmp_path):
    with Supervisor(tmp_path / "data", say=lambda _line: None) as supervisor:
        supervisor.run(Child(name="hello", argv=["echo", "hello"]))
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data/log/hello.log").read_text() == "hello\n"


def test_the_delay_before_a_restart_grows_to_a_limit():
    delays = [restart_delay(failures) for failures in range(1, 40)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_RESTART_DELAY
