"""Every table is audited, or it is said why not (D76)."""

from sqlalchemy import text
from sqlmodel import SQLModel

NOT_AUDITED = {
    "action_run": "a log of its own, and written in the click path",
    "audit_log": "it is the log",
    "bounce": "what came in, kept as it came in",
    "branding_logo": "its octets are kept themselves; which one is the logo is audited",
    "chunk": "the sending engine's own, and hot",
    "company_consent_state": "derived from the ledger",
    "consent_state": "derived from the ledger",
    "dispatch": "the frozen plan of a send, which follows from the mailing",
    "engagement": "what readers did, kept as it came in, and hot",
    "engagement_spool": "how far events are stored, and hot",
    "engagement_tally": "counts",
    "erasure_search": "what a search needs, gone with it",
    "erased_address": "written by erasure, which has an entry of its own",
    "event": "written with what is audited",
    "event_feed": "how far the feed is numbered",
    "idempotent_answer": "answers, kept for a day",
    "import_problem": "written with the import",
    "inbound_message": "what came in, kept as it came in",
    "leaving": "what it took away is audited where it was",
    "library_link_clicker": "follows from engagement, and hot",
    "library_link_tally": "counts",
    "link_clicker": "follows from engagement, and hot",
    "link_tally": "counts",
    "link": "follows from the mailing's content",
    "link_request": "counts, for a limit",
    "operation": "how far work is; what it does is audited",
    "outbox": "jobs; what they do is audited",
    "pace": "how far budgets are used up, and hot",
    "recipient": "follows from sources and rules, and hot",
    "recipient_export": "a file asked for, kept for a while",
    "recipient_tally": "counts",
    "sending_account_health": "what happened to connections",
    "slowed_destination": "what servers asked for",
    "stored_file": "its octets are kept themselves",
    "stored_piece": "its octets are kept themselves",
    "webhook_delivery": "a log of its own",
    "test_message": "a job's addresses; deleted with it",
}


async def test_every_table_is_audited_or_it_is_said_why_not(session):
    rows = await session.exec(text("SELECT tgrelid::regclass::text AS name FROM pg_trigger WHERE tgname ~ '^audit_'"))
    audited = [row.name.strip('"') for row in rows]
    assert all(audited.count(name) == 3 for name in audited)
    assert set(SQLModel.metadata.tables) - set(audited) == set(NOT_AUDITED) & set(SQLModel.metadata.tables)
