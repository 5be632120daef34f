"""The bench works: both sides are measured, and what they did is checked. How fast it was means nothing here."""

import asyncio
import json
from pathlib import Path

import pytest

from app.embedded.catcher import prepare_catcher
from tests.bench import (
    a01_page,
    a03_bulk,
    a07_click_while_sending,
    a08_link_table,
    latency,
    p01_send,
    p03_signed_rsa,
    p04_two_workers,
    p05_growth,
    p06_click,
    p08_import,
    p09_populate,
    p12_memory,
)
from tests.bench.__main__ import main, targets
from tests.bench.house import fresh_house
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target, details_of, summarise, table_of, write
from tests.bench.sending import LINKS
from tests.bench.stand_ins import click, smtp_tools


@pytest.fixture(scope="module")
def house():
    with fresh_house(durable=False) as house:
        yield house


async def test_a_send_is_measured_and_every_message_arrives(house):
    sink = prepare_catcher(house.directory)
    smtp = smtp_tools(sink)
    baseline = p01_send.smtp_source(smtp, 200)
    measured = await p01_send.measure_with(house, smtp, baseline, messages=200, runs=1)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert ours.value == pytest.approx(200 / ours.seconds)
    assert set(ours.cpu_us) == {"worker", "postgres"}
    assert 28_000 < measured.settings["octets"] < 32_000
    caught = await asyncio.to_thread(lambda: list((house.directory / "mail" / "new").iterdir()))
    assert len(caught) == 400
    tracked = [file for file in caught if file.read_bytes().count(b"/c/") >= LINKS]
    assert len(tracked) == 200


@pytest.mark.parametrize(
    ("measure", "settings"),
    [
        (p04_two_workers.measure_with, {"messages": 20}),
        (p05_growth.measure_with, {"messages": 20, "few": 5, "times": 2}),
        (p12_memory.measure_with, {"messages": 20, "few": 5}),
        (latency.measure_with, {"messages": 20, "seconds": 0.01}),
    ],
    ids=["P4", "P5", "P12", "latency"],
)
async def test_other_sends_are_measured(house, measure, settings):
    def tools(**through):
        return smtp_tools(prepare_catcher(house.directory), **through)

    takes_a_maker = measure in (p04_two_workers.measure_with, latency.measure_with)
    measured = await measure(house, tools if takes_a_maker else tools(), runs=1, **settings)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert ours.value > 0
    assert ours.peak_rss_mb > 0


async def test_a_signed_send_is_measured_and_every_message_is_signed(house):
    sink = prepare_catcher(house.directory)
    signs = p03_signed_rsa.openssl_speed(seconds=1)
    measured = await p01_send.measure_with(house, smtp_tools(sink), signs, messages=60, runs=1, algorithms=["rsa"])

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert 10 < baseline.value < 100_000
    caught = await asyncio.to_thread(lambda: list((house.directory / "mail" / "new").iterdir()))
    assert sum(b"DKIM-Signature: v=1; a=rsa-sha256" in file.read_bytes()[:2000] for file in caught) == 60


@pytest.mark.parametrize("opens", [False, True])
async def test_clicks_and_opens_are_measured_and_none_is_lost(house, opens):
    load = p06_click.Load(connections=8, seconds=0.3, recipients=2_000, runs=1, opens=opens)
    measured = await p06_click.measure_with(house, click, load)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert ours.further["stored"] == ours.further["answered"] > 8


async def test_clicks_are_measured_while_a_mailing_is_sent(house):
    smtp = smtp_tools(prepare_catcher(house.directory))
    measured = await a07_click_while_sending.measure_with(house, smtp, messages=50, runs=1)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert 0 < ours.further["p50_ms"] <= ours.value


def test_the_table_of_links_finds_them_all_in_less_memory():
    baseline, ours = a08_link_table.measure_with(links=5_000, runs=1).runs
    assert 0 < ours.value < baseline.value


async def test_an_import_is_measured_and_every_row_accounted_for(house):
    measured = await p08_import.measure_with(house, rows=2_000, runs=1)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert set(ours.cpu_us) == {"worker", "postgres"}
    assert ours.value == pytest.approx(ours.further["upload_s"] + ours.further["import_s"])


async def test_pages_are_measured_beside_those_of_a_short_list(house):
    measured = await a01_page.measure_with(house, lines=2_000, runs=1, pages=6)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert set(ours.cpu_us) == {"api", "postgres"}
    assert len(ours.further) == len(baseline.further) + 2 == len(a01_page.QUESTIONS) + 2


async def test_persons_in_bulk_are_measured_and_all_are_there(house):
    measured = await a03_bulk.measure_with(house, persons=40, runs=1, in_request=20)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert set(ours.cpu_us) == {"api", "postgres"}
    assert ours.further["streamed_per_s"] > 0


@pytest.fixture
def empty_house():
    with fresh_house(durable=False) as house:
        yield house


async def test_populating_is_measured_and_both_sides_make_the_same_list(empty_house):
    measured = await p09_populate.measure_with(empty_house, persons=1_000, runs=1)

    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    reasons = {name: value for name, value in measured.settings.items() if name.startswith("blocked:")}
    assert reasons == {
        "blocked:blocked_address": 10, "blocked:duplicate": 9, "blocked:former_employee": 10,
        "blocked:invalid_address": 10, "blocked:no_consent": 20, "blocked:no_subscription": 10,
    }  # fmt: skip


def runs_of(*pairs):
    return [run for ours, base in pairs for run in (Run(BASELINE, base, 1.0), Run(OURS, ours, 1.0, {"worker": 5.0}))]


def test_the_ratio_is_the_median_of_neighbouring_runs(tmp_path: Path):
    # The machine slows down: the ratios are 0.5, 0.6 and 0.8, the medians' ratio would be 0.6 of 50 to 100 as well.
    measured = Measured(runs_of((100, 200), (60, 100), (40, 50)), {"messages": 1})
    result = summarise(P, measured)
    written = json.loads(write(result, tmp_path).read_text(encoding="utf-8"))

    assert written["ratio"] == 0.6
    assert (written["value"], written["baseline_value"], written["cpu_us_per_unit"]) == (60, 100, 5)
    assert list(written) == [
        "id", "name", "value", "unit", "baseline_value", "ratio", "target", "cpu_us_per_unit", "peak_rss_mb", "runs",
        "settings",
    ]  # fmt: skip
    assert len(written["runs"]) == 6
    assert table_of([(P, result)]).row_count == 1
    assert list(details_of(result)) == ["  P0 ours: worker 5 µs CPU"]


async def measure_nothing(house, size):
    return Measured([], {})


P = Target("P0", "nothing", "units/s", 0.5, measure_nothing)


def test_every_target_is_found_by_its_file():
    assert {"P1", "P6", "P8"} <= set(targets())


def test_an_unknown_target_is_named(capsys):
    assert main(only="P1 P99", size="small") == 2
    assert "P99" in capsys.readouterr().out
