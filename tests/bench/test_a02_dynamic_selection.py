"""The bench of dynamic selections works: both sides are measured, and answer alike."""

from tests.bench.a02_dynamic_selection import QUESTIONS, measure_with
from tests.bench.house import fresh_house
from tests.bench.measuring import BASELINE, OURS


async def test_dynamic_selections_are_counted_and_both_sides_agree():
    with fresh_house(durable=False) as house:  # its questions name the first ids
        measured = await measure_with(house, persons=1_000, events=5_000, runs=1)
    baseline, ours = measured.runs
    assert (baseline.side, ours.side) == (BASELINE, OURS)
    assert len(ours.further) == len(QUESTIONS)
    assert not [name for name in ours.further if "(0)" in name]
