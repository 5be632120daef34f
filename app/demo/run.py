"""`budstikke demo`: start everything on a fresh data directory, tell the story, check it, write the summary."""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType

import httpx2
from rich.console import Console

from app.demo import readers, scenario, screen
from app.demo.api import Json, call, every, open_api, wait_for
from app.demo.caught_mail import Caught, read_maildir
from app.demo.checks import Check, Evidence, check_all
from app.demo.errors import ChecksFailed, NotEmbedded, TookTooLong
from app.demo.readers import Played, cast_from
from app.embedded.errors import DataDirectoryUnusableError
from app.embedded.ports import free_port
from app.embedded.supervisor import Supervisor
from app.platform.settings import servers_are_configured
from app.stack import Stack, running_stack

EXPORT = Path("tests/data/persons-2000.csv")
HOME = Path("var/demo")  # in the root: data of the last demo, and its summary
SUMMARY = "summary.json"
STATISTICS_WITHIN = 30.0  # seconds; bounces pass through a job, which takes one or two


def run_demo(root: Path, *, home: Path | None, keep: bool) -> None:
    """Play the whole story on the export under `root`, and write `summary.json` into `home` (`var/demo` of the root).

    With `keep` everything goes on running until Ctrl-C. Raises DemoError (also when a number does not add up; then
    there is no summary) and EmbeddedError.
    """
    began = time.monotonic()
    if servers_are_configured():
        raise NotEmbedded
    console = Console(highlight=False)
    home = home or root / HOME
    summary = home / SUMMARY
    data = _fresh(home / "data")
    summary.unlink(missing_ok=True)
    port = int(os.environ.get("BUDSTIKKE_PORT") or free_port())
    screen.heading(console, "Budstikke demo: a mailing from a CRM export to its statistics")
    screen.line(console, "starting", f"PostgreSQL, Valkey, a mail catcher, the API, {os.cpu_count()} workers")
    with running_stack(data, port=port) as stack:
        with _stopped_by_ctrl_c():
            evidence = _tell(stack, console, export=root / EXPORT)
            _judge(console, check_all(evidence))
            seconds = round(time.monotonic() - began, 1)
            summary.write_text(json.dumps(_summary(evidence, seconds), indent=2) + "\n", encoding="utf-8")
        console.print(f"\n[bold green]Everything adds up.[/] {seconds} s; summary: {os.path.relpath(summary)}")
        if keep:
            _show_addresses(console, stack)
            stack.supervisor.wait()
    if not keep:
        console.print("To look at the mail and the API afterwards: [bold]budstikke demo --keep[/]")


def _fresh(data: Path) -> Path:
    """Return the data directory, empty; raises DataDirectoryInUseError while another demo plays on it."""
    with Supervisor(data):
        try:
            shutil.rmtree(data)
        except OSError as error:
            raise DataDirectoryUnusableError(data, cause=error) from error
    return data


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the block, which the supervisor only notes while it starts, waits and stops."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(stack: Stack, console: Console, *, export: Path) -> Evidence:
    """Tell the story from import to statistics, and return what is known at its end."""
    with open_api(stack.url, stack.admin_key_file.read_text(encoding="ascii").strip()) as api:
        screen.heading(console, "1  A messy export becomes persons")
        imported = scenario.import_export(api, console, file=export)
        screen.heading(console, "2  Whom to write to")
        audience = scenario.choose_audience(api, console)
        screen.heading(console, "3  The newsletter")
        mailing_id = scenario.compose(api, console, audience=audience)
        screen.heading(console, "4  The recipient list, with the rules at work")
        counts = scenario.fill_list(api, console, mailing_id=mailing_id, audience=audience)
        screen.heading(console, "5  Ready?")
        scenario.review(api, console, mailing_id=mailing_id)
        screen.heading(console, "6  Sending")
        delivered_at = scenario.send(api, console, mailing_id=mailing_id, ready=counts["by_status"]["ready"])
        screen.heading(console, "7  The recipients")
        people_from = delivered_at + timedelta(seconds=stack.settings.machine_seconds)
        cast, played = cast_from(_mailing_caught(stack), public_url=stack.settings.public_url), Played()
        with screen.bar(console, "recipients", total=readers.parts_in(cast)) as bar:
            asyncio.run(readers.play(cast, people_from=people_from, played=played, shown=bar))
        readers.bounce(cast.bounced, host=stack.settings.inbound_host, port=stack.settings.inbound_port, played=played)
        screen.counts(console, "opens played", played.opens)
        screen.counts(console, "clicks played", played.clicks)
        ends = {"unsubscribed": len(played.unsubscribed), "bounced": len(played.bounced)}
        screen.counts(console, "and", ends)
        statistics = _settled(api, mailing_id, played)
        path = f"/v1/mailings/{mailing_id}"
        recipients = tuple(every(api, f"{path}/recipients"))
        evidence = Evidence(
            imported=imported,
            audience=audience,
            statistics=statistics,
            recipients=recipients,
            links=tuple(every(api, f"{path}/links")),
            still_subscribed=_still_subscribed(api, recipients),
            hard_bounces=frozenset(each["email"] for each in every(api, "/v1/blocked-addresses", reason="hard_bounce")),
            caught=_mailing_caught(stack),
            played=played,
        )
    _show_statistics(console, statistics)
    return evidence


def _mailing_caught(stack: Stack) -> tuple[Caught, ...]:
    """Return the caught messages of the mailing, without the test."""
    if stack.maildir is None:
        raise NotEmbedded
    return tuple(message for message in read_maildir(stack.maildir) if not message.is_test)


def _settled(api: httpx2.Client, mailing_id: int, played: Played) -> Json:
    """Return the statistics as soon as they show all that was played; else the last ones, for the checks to judge."""
    seen: Json = {}

    def shows_all() -> bool:
        seen.update(call(api, "GET", f"/v1/mailings/{mailing_id}/statistics"))
        return bool(
            sum(played.opens.values()) <= seen["opens"]["total"]
            and sum(played.clicks.values()) <= seen["clicks"]["total"]
            and len(played.unsubscribed) <= seen["unsubscribed"]
            and len(played.bounced) <= sum(seen["bounced"].values())
        )

    with suppress(TookTooLong):
        wait_for("The statistics", shows_all, within=STATISTICS_WITHIN)
    return seen


def _still_subscribed(api: httpx2.Client, recipients: Sequence[Json]) -> frozenset[int]:
    """Return who of those that unsubscribed is subscribed all the same."""
    gone = [line["person_id"] for line in recipients if line["unsubscribed_at"]]
    answers = {person: call(api, "GET", f"/v1/persons/{person}/subscriptions")["items"] for person in gone}
    return frozenset(person for person, items in answers.items() if any(item["subscribed"] for item in items))


def _show_statistics(console: Console, statistics: Json) -> None:
    judged = ("opens", "openers", "clicks", "clickers")
    rows = [(figure, *(statistics[figure][who] for who in ("human", "machine", "total"))) for figure in judged]
    screen.table(console, "Engagement", ("", "people", "machines", "together"), rows)
    counts, rates = statistics["recipients"], statistics["rates"]
    statuses = {name: number for name, number in counts["by_status"].items() if number and name != "blocked"}
    rows = [
        ("on the list", counts["total"], ""),
        *((f"  {status}", number, "") for status, number in statuses.items()),
        ("  blocked", counts["by_status"]["blocked"], ""),
        *((f"    {reason.replace('_', ' ')}", number, "") for reason, number in counts["blocked_by_reason"].items()),
        ("delivered", statistics["delivered"], f"{rates['delivered']:.1%}"),
        ("opened by people", statistics["openers"]["human"], f"{rates['open']:.1%}"),
        ("clicked by people", statistics["clickers"]["human"], f"{rates['click_through']:.1%}"),
        ("unsubscribed", statistics["unsubscribed"], f"{rates['unsubscribe']:.1%}"),
        ("bounced", sum(statistics["bounced"].values()), f"{rates['bounce']:.1%}"),
    ]
    screen.table(console, "How the mailing did", ("", "recipients", "rate"), rows)


def _judge(console: Console, checks: Sequence[Check]) -> None:
    """Show every check; raises ChecksFailed when one does not hold."""
    screen.heading(console, "Do the numbers add up?")
    for check in checks:
        screen.verdict(console, check.claim, holds=check.holds, expected=check.expected, found=check.found)
    if failed := [check.claim for check in checks if not check.holds]:
        raise ChecksFailed(failed)


def _summary(evidence: Evidence, seconds: float) -> Json:
    statistics, done = evidence.statistics, evidence.imported
    by_verdict = {
        figure: {who: statistics[figure][who] for who in ("human", "machine")} for figure in ("opens", "clicks")
    }
    return {
        "import": {"rows": done.rows, "created": done.created, "updated": done.updated, "problems": done.problems},
        "recipients": statistics["recipients"],
        "caught": {
            "messages": len(evidence.caught),
            "distinct_addresses": len({message.recipient.lower() for message in evidence.caught}),
        },
        "engagement": {
            **by_verdict,
            "unsubscribed": statistics["unsubscribed"],
            "bounced": sum(statistics["bounced"].values()),
        },
        "seconds": seconds,
    }


def _show_addresses(console: Console, stack: Stack) -> None:
    screen.heading(console, "Everything goes on running; Ctrl-C ends it")
    screen.line(console, "caught mail", f"{stack.url}/dev/mail")
    screen.line(console, "the API", f"{stack.url}/docs")
    screen.line(console, "its key", f"in {stack.admin_key_file}")
