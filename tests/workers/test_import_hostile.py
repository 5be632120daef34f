"""Files that are worse than bad: a named problem for each row, the good rows imported, and flat memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.workers.import_house import HEADINGS, KARI

_MEASURED = """
import resource, runpy, sys
runpy.run_module("app.audience.reading_process", run_name="__main__", alter_sys=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def peak_mb(path: Path) -> int:
    """Read a file as the worker's child does, and return the most memory it had, in MiB."""
    wanted = {
        "path": str(path), "file_name": path.name, "mapping": None, "options": {}, "next_row": 0,
        "default_country": "NO", "kinds": {}, "sizes": [1000, 10_000],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, json.dumps(wanted)], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, check=True, text=True, timeout=300,
    )  # fmt: skip
    return int(done.stderr.split()[-1])


@pytest.fixture(scope="module")
def usual_mb(tmp_path_factory) -> int:
    """What reading a single batch of ordinary rows takes."""
    return peak_mb(written(tmp_path_factory.mktemp("usual") / "usual.csv", rows=20_000))


def written(path: Path, *, rows: int, middle: bytes = b"", repeat: int = 0) -> Path:
    row = "CRM-{0};Kari;Nordmann {0};kari{0}@nordlys.example;91234567;;ja;1\n"
    with path.open("wb") as out:
        out.write(HEADINGS.encode())
        out.writelines(row.format(number).encode() for number in range(rows // 2))
        for _ in range(repeat):
            out.write(middle)
        out.write(b"\n" if repeat else b"")
        out.writelines(row.format(number).encode() for number in range(rows // 2, rows))
    return path


def test_a_long_file_is_read_with_flat_memory(tmp_path, usual_mb):
    assert peak_mb(written(tmp_path / "long.csv", rows=200_000)) < usual_mb + 20


def test_a_line_of_200_megabytes_is_read_with_flat_memory(tmp_path, usual_mb):
    path = written(tmp_path / "line.csv", rows=100, middle=b"x" * (1 << 20), repeat=200)
    assert path.stat().st_size > 200 << 20
    assert peak_mb(path) < usual_mb + 20


def test_an_open_quote_before_megabytes_is_read_with_flat_memory(tmp_path, usual_mb):
    assert peak_mb(written(tmp_path / "quote.csv", rows=100_000, middle=b'CRM;"Kari;\n', repeat=1)) < usual_mb + 20


async def test_an_endless_line_is_a_named_problem_and_its_neighbours_are_persons(house, tmp_path):
    path = written(tmp_path / "line.csv", rows=10, middle=b"x" * (1 << 20), repeat=4)
    done = await house.bring_in(path.read_bytes())
    assert (done.state, done.rows, done.created, done.rejected) == ("succeeded", 11, 10, 1)
    assert done.problems == [(7, None, "row_too_long", True)]


async def test_fifty_thousand_rows_with_one_address_are_fifty_thousand_persons_if_they_have_ids(real_house):
    rows = "".join(f"{number};Kari;{number};post@nordlys.example;;;;\n" for number in range(50_000))
    done = await real_house.bring_in(HEADINGS + rows)
    assert (done.state, done.rows, done.created, done.updated) == ("succeeded", 50_000, 50_000, 0)
    again = await real_house.bring_in("E-post;By\n" + "post@nordlys.example;Bodø\n" * 50_000)
    assert (again.state, again.rows, again.created, again.updated) == ("succeeded", 50_000, 0, 1)
    assert await real_house.rows("SELECT external_id FROM person WHERE city = 'Bodø'") == [("0",)]  # the oldest


async def test_a_file_that_changes_its_encoding_half_way_keeps_every_letter(house):
    rows = [f"{number};Åse;Ødegård;ase{number}@nordlys.example;;;;\n" for number in range(2000)]
    content = HEADINGS.encode() + "".join(rows[:1200]).encode("cp1252") + "".join(rows[1200:]).encode()
    done = await house.bring_in(content)
    assert (done.state, done.created) == ("succeeded", 2000)
    assert await house.rows("SELECT DISTINCT name FROM person") == [("Åse Ødegård",)]
    assert done.codes["mixed_encoding"] in (800, 1200)  # whichever half is the smaller surprise is named


async def test_rows_with_too_many_or_too_few_cells_are_named_or_read(house):
    done = await house.bring_in(HEADINGS + KARI + "2;Ola\n" + "3;Per;;;;;;;;surplus\n" + "\n" + "\x00\x00\n")
    assert (done.rows, done.created, done.rejected) == (5, 2, 3)
    assert done.problems == [
        (4, None, "too_many_cells", True), (5, None, "blank_row", True), (6, None, "no_identity", True),
    ]  # fmt: skip


async def test_a_reading_process_that_is_killed_imports_nothing_by_halves(house, monkeypatch):
    """The job fails and is tried again; what it had committed stays, and is not done again."""
    monkeypatch.setattr("app.audience.reading_ahead.PROGRAM", "tests.workers.dying_reader")
    import_id = await house.start((HEADINGS + KARI).encode())
    await house.run()
    half = await house.counted(import_id)
    assert (half.state, half.rows) == ("running", 0)
    error = await house.one("SELECT last_error FROM outbox WHERE job = 'import.run'")
    assert error.startswith("ReaderDied")
