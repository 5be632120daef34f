"""Running programs for a measurement, and what processes cost: CPU and memory, from /proc."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

from app.embedded.process import Child, log_file, spawn, stop, wait_until_ready
from tests.bench.errors import BenchError

_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _CHILDREN_END = 1, 11, 15  # fields of /proc/PID/stat behind the name, proc(5)


class ProgramFailedError(BenchError):
    """A program of a measurement ended badly or took too long."""


@contextmanager
def running(*children: Child, directory: Path) -> Iterator[list[Popen[bytes]]]:
    """Run children until the block is left, all ready; their logs stand in the directory."""
    started: list[tuple[Child, Popen[bytes]]] = []
    try:
        # `extend` keeps what was started when a later one cannot be.
        started.extend((child, spawn(child, log=log_file(directory, child.name))) for child in children)
        for child, process in started:
            wait_until_ready(child, process, log=log_file(directory, child.name))
        yield [process for _, process in started]
    finally:
        stop(*started)


async def run_program(*argv: str, within: float) -> str:
    """Run a program to its end and return its output; raises ProgramFailedError."""
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=STDOUT)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), within)
    except TimeoutError as error:
        raise ProgramFailedError(f"{argv[0]} took longer than {within:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise ProgramFailedError(f"{argv[0]} ended with exit code {process.returncode}: {text[-500:]}")
    return text


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time so far of processes with all that they started, whether it still runs or not."""
    stats = dict(_all_stats())
    wanted = set(pids)
    while more := {pid for pid, fields in stats.items() if int(fields[_PARENT]) in wanted} - wanted:
        wanted |= more
    return sum(sum(map(int, stats[pid][_USER:_CHILDREN_END])) for pid in wanted if pid in stats) / _TICKS


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            stat = (directory / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it ended since it was listed
            continue
        yield int(directory.name), stat.rpartition(")")[2].split()


def peak_rss_mb(pids: Iterable[int]) -> float:
    """Return the most memory that any of the processes has had resident so far, in MiB."""
    return max(_peak_kib(pid) for pid in pids) / 1024


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise BenchError(f"process {pid} has ended; see its log")
