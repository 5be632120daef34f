"""Showing things: headings, bars and tables, in a terminal as in a log."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

LABEL_WIDTH, CLAIM_WIDTH = 32, 52  # columns
_TICKS = {"complete": "[green]✓[/]", "incomplete": "[red]✗[/]", "not_started": "[yellow]·[/]"}


def heading(console: Console, text: str) -> None:
    """Begin a part of the story."""
    console.print(f"\n[bold cyan]{escape(text)}[/]")


def line(console: Console, label: str, value: object) -> None:
    """Show one fact."""
    console.print(f"  {escape(label):{LABEL_WIDTH}} {escape(str(value))}", highlight=False, soft_wrap=True)


def told(value: object) -> str:
    """Return counts by name, a pair of figures or a figure as one reads it; noughts are left out."""
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{number} {str(name).replace('_', ' ')}" for name, number in value.items() if number) or "none"
        )
    return " and ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def counts(console: Console, label: str, numbers: Mapping[str, int]) -> None:
    """Show counts by name, without those that are nought."""
    line(console, label, told(numbers))


class Bar:
    """A progress bar; in a log only its end is printed."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def show(self, done: int, total: int | None = None) -> None:
        """Show how much is done, of how much if that is known."""
        self._progress.update(self._task, completed=done, total=total)

    def advance(self) -> None:
        """Show that one more is done."""
        self._progress.advance(self._task)


@contextmanager
def bar(console: Console, label: str, *, total: int | None = None) -> Iterator[Bar]:
    """Show a progress bar while the block runs."""
    columns = (
        TextColumn(f"  {{task.description:{LABEL_WIDTH}}}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, progress.add_task(escape(label), total=total))


def steps(console: Console, readiness: Mapping[str, Any]) -> None:
    """Show the readiness report: a tick or cross per step, and what was found."""
    for step in readiness["steps"]:
        console.print(f"  {_TICKS[step['state']]} {step['step']}", highlight=False)
        for remark in step["remarks"]:
            place = f" (line {remark['line']}, column {remark['column']})" if remark["line"] else ""
            color = "red" if remark["severity"] == "problem" else "yellow"
            text = escape(f"{remark['severity']}: {remark['detail']}{place}")
            console.print(f"      [{color}]{text}[/]", highlight=False, soft_wrap=True)


def verdict(console: Console, claim: str, *, holds: bool, expected: object, found: object) -> None:
    """Show whether a claim holds; if not, what was expected and what was found."""
    mark = "[green]✓[/]" if holds else "[bold red]✗[/]"
    seen = told(found) if holds else f"expected {told(expected)}; found {told(found)}"
    console.print(f"  {mark} {escape(claim):{CLAIM_WIDTH}} {escape(seen)}", highlight=False, soft_wrap=True)


def table(console: Console, title: str, headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Show a table whose first column is text and whose others are aligned to the right."""
    shown = Table(title=title, title_justify="left", title_style="bold cyan", box=box.SIMPLE_HEAD)
    for index, name in enumerate(headings):
        shown.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print()
    console.print(shown)
