"""`python -m tests.bench`: measures the targets of performance.md, writes `var/bench/<id>.json`, prints one table.

ONLY="P1 P6" picks targets; SIZE is `full` (default) or `small`. Each target is a module with a TARGET, named by its id:
`p01_send.py` for P1 of performance.md, `a01_page.py` for A1, the first of the audience's own. Speed never makes it
fail; the exit code is 1 when something could not be measured.
"""

import asyncio
import importlib
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from app.embedded.errors import EmbeddedError
from tests.bench.errors import BenchError
from tests.bench.house import OUTPUT, fresh_house
from tests.bench.measuring import Measured, Result, Target, details_of, summarise, table_of, write

SIZES = ("small", "full")
TABLE_WIDTH = 100  # columns, where there is no terminal that has a width


def targets() -> dict[str, Target]:
    """Return every target by its id, in the order of their numbers."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("[ap][0-9][0-9]_*.py"))
    found = [importlib.import_module(f"tests.bench.{name}").TARGET for name in names]
    return {target.id: target for target in found}


def main(*, only: str, size: str) -> int:
    """Measure the named targets, or all; return the exit code."""
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    known = targets()
    wanted = only.split() or list(known)
    if unknown := set(wanted) - set(known):
        console.print(f"ONLY names {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
        return 2
    if size not in SIZES:
        console.print(f"SIZE is {size!r}; it can be {' or '.join(SIZES)}.")
        return 2
    done: list[tuple[Target, Result]] = []
    for target in map(known.__getitem__, wanted):
        console.print(f"{target.id}: {target.name} ({size}) …")
        try:
            result = summarise(target, _measure(target, size))
        except (BenchError, EmbeddedError) as error:
            console.print(f"{target.id} could not be measured: {error}", markup=False)
            continue
        write(result, OUTPUT)
        done.append((target, result))
    console.print(table_of(done))
    for _, result in done:
        console.print(*details_of(result), sep="\n", highlight=False, soft_wrap=True)
    return 0 if len(done) == len(wanted) else 1


def _measure(target: Target, size: str) -> Measured:
    with fresh_house() as house:
        return asyncio.run(target.measure(house, size))


if __name__ == "__main__":
    # Whatever ends us, what was started is stopped: asyncio makes of SIGINT a cancelled task, if it is not ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main(only=os.environ.get("ONLY", ""), size=os.environ.get("SIZE", "full")))
    except KeyboardInterrupt:
        sys.exit("stopped; nothing is left running")
