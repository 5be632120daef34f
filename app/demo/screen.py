"""Showing things: headings, bars and tables, in a terminal as in a log."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

LABEL_WIDTH = 30
_TICKS = {"complete": "[green]✓[/]", "incomplete": "[red]✗[/]", "not_started": "[yellow]·[/]"}


def heading(console: Console, text: str) -> None:
    """Begin a part of the story."""
    console.print(f"\n[bold cyan]{escape(text)}[/]")


def line(console: Console, label: str, value: object) -> None:
    """Show one fact."""
    console.print(f"  {escape(label):{LABEL_WIDTH}} {escape(str(value))}", highlight=False, soft_wrap=True)


def counts(console: Console, label: str, numbers: Mapping[str, int]) -> None:
    """Show counts by name, without those that are nought."""
    told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in numbers.items() if number)
    line(console, label, told or "none")


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
    told = f"{found}" if holds else f"[bold red]expected {escape(str(expected))}, found {escape(str(found))}[/]"
    console.print(f"  {mark} {escape(claim):54} {told}", highlight=False, soft_wrap=True)


def table(console: Console, title: str, headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Show a table whose first column is text and whose others are aligned to the right."""
    shown = Table(title=title, title_justify="left", title_style="bold cyan", box=box.SIMPLE_HEAD)
    for index, name in enumerate(headings):
        shown.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print()
    console.print(shown)
