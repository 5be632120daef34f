"""What a measurement is, what it leaves behind, and the table at the end (performance.md).

A target measures two sides in one run, ours and a named baseline, taken in turn. What counts is the ratio: the machine
is shared, and its speed changes from minute to minute.
"""

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from tests.bench.house import House

OURS, BASELINE = "ours", "baseline"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one side.

    `value` is in the target's unit. `cpu_us` is CPU time for one unit, in microseconds, by process: those of the side
    itself, PostgreSQL among them. `further` holds what else is worth reading, by names that tell their units.
    """

    side: str
    value: float
    seconds: float
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    peak_rss_mb: float | None = None
    further: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """All runs of a target, and the settings that they were made with."""

    runs: list[Run]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A line of performance.md's table: `goal` is the ratio to reach, or with `at_most` not to exceed."""

    id: str
    name: str
    unit: str
    goal: float
    measure: Callable[[House, str], Coroutine[Any, Any, Measured]]
    """Measures on a fresh house in the size `small` or `full`; raises BenchError."""
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What is written to `var/bench/<id>.json`; the numbers are medians over the runs."""

    id: str
    name: str
    value: float
    unit: str
    baseline_value: float
    ratio: float
    target: float
    cpu_us_per_unit: float
    peak_rss_mb: float | None
    runs: list[Run]
    settings: Mapping[str, Any]


def sides_of(runs: list[Run]) -> tuple[list[Run], list[Run]]:
    """Return our runs and the baseline's."""
    return [run for run in runs if run.side == OURS], [run for run in runs if run.side == BASELINE]


def summarise(target: Target, measured: Measured) -> Result:
    """Return the result: each of our runs is compared with the baseline's run beside it."""
    ours, baseline = sides_of(measured.runs)
    peaks = [run.peak_rss_mb for run in ours if run.peak_rss_mb is not None]
    return Result(
        id=target.id,
        name=target.name,
        value=median(run.value for run in ours),
        unit=target.unit,
        baseline_value=median(run.value for run in baseline),
        ratio=median(our.value / base.value for our, base in zip(ours, baseline, strict=True)),
        target=target.goal,
        cpu_us_per_unit=median(sum(run.cpu_us.values()) for run in ours),
        peak_rss_mb=max(peaks, default=None),
        runs=measured.runs,
        settings=measured.settings,
    )


def write(result: Result, directory: Path) -> Path:
    """Write the result as JSON and return its file."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{result.id}.json"
    file.write_text(json.dumps(_rounded(asdict(result)), indent=2) + "\n", encoding="utf-8")
    return file


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 4)
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
    return value


def table_of(results: list[tuple[Target, Result]]) -> Table:
    """Return the table that is printed at the end."""
    table = Table(box=SIMPLE, caption="medians; CPU and memory of the service, with its PostgreSQL but not the tools")
    for heading in ("", "what", "value", "baseline", "unit", "ratio", "target", "CPU µs", "peak MB"):
        table.add_column(heading, no_wrap=True, justify="left" if heading in ("", "what", "unit") else "right")
    for target, result in results:
        table.add_row(
            result.id,
            result.name,
            f"{result.value:,.0f}",
            f"{result.baseline_value:,.0f}",
            result.unit,
            f"{result.ratio:.2f}",
            f"{'≤' if target.at_most else '≥'} {target.goal:g}",
            f"{result.cpu_us_per_unit:,.0f}",
            "" if result.peak_rss_mb is None else f"{result.peak_rss_mb:,.0f}",
        )
    return table


def details_of(result: Result) -> Iterator[str]:
    """Return, for each side, a line with the medians of everything else that was measured."""
    for side, runs in zip((OURS, BASELINE), sides_of(result.runs), strict=True):
        costs = [f"{name} {median(run.cpu_us[name] for run in runs):,.0f} µs CPU" for name in runs[0].cpu_us]
        further = [f"{name} {median(run.further[name] for run in runs):,.1f}" for name in runs[0].further]
        if costs or further:
            yield f"  {result.id} {side}: {', '.join(costs + further)}"
