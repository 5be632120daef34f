"""How a mailing did (D62)."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.recipients.queries import read_tallies
from app.recipients.service import check_mailing, counts_of, tell_sending
from app.statistics import queries
from app.statistics.schemas import Judged, Rates, Statistics


async def summarise(session: AsyncSession, *, mailing_id: int) -> Statistics:
    """Return a mailing's statistics from its tallies; raises MailingNotFound."""
    await check_mailing(session, mailing_id=mailing_id)
    tallies = await read_tallies(session, mailing_id=mailing_id)
    events = await queries.read_engagement(session, mailing_id=mailing_id)
    sent, bounced = tallies.get("accepted", 0), tallies.get("bounced", 0)
    delivered = tallies.get("sent", 0)
    openers, clickers = _recipients(tallies, "opened"), _recipients(tallies, "clicked")
    unsubscribed, complained = tallies.get("unsubscribed", 0), tallies.get("complained", 0)
    return Statistics(
        mailing_id=mailing_id,
        recipients=await tell_sending(session, counts_of(tallies), mailing_id=mailing_id),
        sent=sent,
        delivered=delivered,
        bounced={kind: tallies.get(f"bounced:{kind}", 0) for kind in ("hard", "soft")},
        unsubscribed=unsubscribed,
        complained=complained,
        openers=openers,
        clickers=clickers,
        opens=_events(events, "open"),
        clicks=_events(events, "click"),
        rates=Rates(
            delivered=_share(delivered, delivered + bounced),
            open=_share(openers.human, delivered),
            click_through=_share(clickers.human, delivered),
            click_to_open=_share(clickers.human, openers.human),
            bounce=_share(bounced, delivered + bounced),
            unsubscribe=_share(unsubscribed, delivered),
            complaint=_share(complained, delivered),
        ),
    )


def _recipients(tallies: dict[str, int], mark: str) -> Judged:
    human, total = tallies.get(mark, 0), tallies.get(f"{mark}_total", 0)
    return Judged(human=human, machine=total - human, total=total)


def _events(events: dict[tuple[str, str], int], kind: str) -> Judged:
    human, machine = events.get((kind, "human"), 0), events.get((kind, "machine"), 0)
    return Judged(human=human, machine=machine, total=human + machine)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


async def drift(session: AsyncSession, *, mailing_id: int) -> dict[str, tuple[int, int]]:
    """Return where a mailing's tallies differ from a recount, as {name: (tally, recount)}; empty when all is well."""
    recipients = (
        await read_tallies(session, mailing_id=mailing_id),
        await queries.recount_recipients(session, mailing_id=mailing_id),
    )
    events = [
        {f"{kind}:{verdict}": count for (kind, verdict), count in found.items()}
        for found in [
            await queries.read_engagement(session, mailing_id=mailing_id, recount=recount) for recount in (False, True)
        ]
    ]
    return {
        name: (kept.get(name, 0), counted.get(name, 0))
        for kept, counted in (recipients, events)
        for name in sorted(kept.keys() | counted.keys())
        if kept.get(name, 0) != counted.get(name, 0)
    }
