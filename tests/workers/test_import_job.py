"""The import job, on the real files and on hostile rows."""

import asyncio
import csv
from collections import Counter

import pytest
from sqlalchemy import text

from app.consent import service as consent
from app.consent.expiry import expire
from app.contacts.addresses import InvalidEmail, InvalidPhone, normalise_email, normalise_phone, parse_mailbox
from app.platform.operations import cancel_operation
from app.platform.outbox import Job
from tests.workers.import_house import DATA, HEADINGS, KARI
from workers.context import run_job
from workers.jobs.imports import run_import


def expected(rows: list[dict[str, str]]) -> dict:
    """Count independently what a file with an external id per row must become."""
    count: Counter = Counter()
    for row in rows:
        try:
            parse_mailbox(row["E-post"]) if ">" in row["E-post"] else normalise_email(row["E-post"])
            count["valid"] += 1
        except InvalidEmail:
            count["invalid_email"] += bool(row["E-post"].strip())
        try:
            if row["Mobil"].strip():
                normalise_phone(row["Mobil"], "NO")
        except InvalidPhone:
            count["invalid_phone"] += 1
        consent_told = row["Samtykke e-markedsføring"]
        count["given"] += consent_told == "ja"
        count["withdrawn"] += consent_told == "nei"
        count["subscribed"] += row["Nyhetsbrev"] == "1"
    count["companies"] = len({row["Firma"].strip().lower() for row in rows if row["Firma"].strip()})
    return count


async def test_the_messy_export_becomes_persons_companies_consents_and_named_problems(house):
    with (DATA / "persons-2000.csv").open(encoding="cp1252", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    known = expected(rows)
    done = await house.bring_in((DATA / "persons-2000.csv").read_bytes(), name="persons-2000.csv")
    assert (done.state, done.rows, done.created, done.updated, done.rejected) == ("succeeded", 2000, 2000, 0, 0)
    assert done.result == {"import_id": done.result["import_id"], "rows": 2000, "created": 2000, "updated": 0,
                           "unchanged": 0, "rejected": 0, "dry_run": False}  # fmt: skip
    assert done.codes["invalid_email"] == known["invalid_email"]
    assert done.codes["invalid_phone"] == known["invalid_phone"]
    assert await house.one("SELECT count(*) FROM person WHERE email_key IS NOT NULL") == known["valid"]
    assert await house.one("SELECT count(*) FROM company") == known["companies"]
    assert await house.one("SELECT count(*) FROM consent_state WHERE given") == known["given"]
    assert await house.one("SELECT count(*) FROM consent_state WHERE NOT given") == known["withdrawn"]
    assert await house.one("SELECT count(*) FROM consent") == known["given"] + known["withdrawn"]
    assert await house.one("SELECT count(*) FROM subscription WHERE subscribed") == known["subscribed"]
    assert await house.rows("SELECT name FROM subscription_type") == [("Nyhetsbrev",)]
    assert await house.one("SELECT DISTINCT source FROM consent") == "import: persons-2000.csv"
    assert (done.detected["encoding"], done.detected["delimiter"], done.detected["heading_row"]) == ("cp1252", ";", 1)
    assert done.file_id is not None  # its problems can be mended


async def test_the_same_file_again_changes_nothing_and_adds_nothing_to_the_ledger(house):
    content = (DATA / "persons-2000.csv").read_bytes()
    await house.bring_in(content)
    before = await house.rows("SELECT (SELECT count(*) FROM consent), max(updated_at) FROM person")
    again = await house.bring_in(content)
    assert (again.created, again.updated, again.result["unchanged"]) == (0, 0, 2000)
    assert await house.rows("SELECT (SELECT count(*) FROM consent), max(updated_at) FROM person") == before


async def test_the_workbook_becomes_persons(house):
    done = await house.bring_in((DATA / "contacts-5000.xlsx").read_bytes(), name="contacts-5000.xlsx")
    assert (done.state, done.rows, done.created, done.rejected) == ("succeeded", 5000, 5000, 0)
    assert (done.detected["format"], done.detected["heading_row"]) == ("xlsx", 3)
    assert await house.one("SELECT count(DISTINCT external_id) FROM person") == 5000


async def test_the_list_without_headings_becomes_persons_by_address(house):
    lines = (DATA / "recipients-300.txt").read_text("utf-8-sig").splitlines()
    blank = sum(not line.strip(" ,") for line in lines)
    done = await house.bring_in((DATA / "recipients-300.txt").read_bytes(), name="recipients-300.txt")
    assert (done.state, done.rows, done.rejected) == ("succeeded", len(lines), blank)
    assert done.created + done.updated + done.result["unchanged"] + blank == len(lines)
    assert await house.one("SELECT count(*) FROM person") == done.created
    shared = await house.rows("SELECT email_key FROM person WHERE email_key IS NOT NULL GROUP BY 1 HAVING count(*) > 1")
    assert shared == []


HOSTILE = (
    'a,"Linn\r\nBcc: x@evil.example",linn@nordlys.example',
    "b,<script>alert(1)</script>,script@nordlys.example",
    'c,"=HYPERLINK(""http://evil.example"")",formula@nordlys.example',
    "d,'; DROP TABLE person; --,drop@nordlys.example",
    'e,"""Nick"" O\'Neill [[customer.email]] \\x00 {{7*7}}",quotes@nordlys.example',
    "f,Line,evil@nordlys.example%0d%0aBcc:x@evil.example",
    'g,Break,"kari@nordlys.example\r\nBcc: x@evil.example"',
    "h,\u202eesrever\x00\x07,bidi@nordlys.example",
)


async def test_hostile_values_become_plain_text_on_one_line(house):
    done = await house.bring_in("\r\n".join(("id,name,email", *HOSTILE)), name="=cmd|' /C calc'!A0.csv")
    assert (done.state, done.rows, done.created) == ("succeeded", 8, 8)
    names = dict(await house.rows("SELECT external_id, name FROM person"))
    assert names["a"] == "Linn Bcc: x@evil.example"
    assert names["b"] == "<script>alert(1)</script>"
    assert names["c"] == '=HYPERLINK("http://evil.example")'
    assert names["d"] == "'; DROP TABLE person; --"
    assert names["e"].startswith('"Nick" O\'Neill [[customer.email]]')
    assert names["h"] == "esrever"
    assert all(name.isprintable() for name in names.values())
    invalid = await house.rows("SELECT external_id, email FROM person WHERE email_key IS NULL ORDER BY 1")
    assert [external_id for external_id, _ in invalid] == ["f", "g"]
    assert all(email.isprintable() for _, email in invalid)
    assert [row for row, _, code, _ in done.problems if code == "invalid_email"] == [7, 8]


async def test_a_row_that_repeats_an_external_id_updates_the_person(house):
    later = "1;Karin;Nordmann;;;;;\n"
    done = await house.bring_in(HEADINGS + KARI + later)
    assert (done.created, done.updated) == (1, 1)
    assert await house.rows("SELECT name, email FROM person") == [("Karin Nordmann", "kari@nordlys.example")]


async def test_rows_find_persons_by_external_id_and_then_by_address(house):
    await house.bring_in("E-post;Navn\nkari@nordlys.example;Kari\n")
    done = await house.bring_in(
        HEADINGS
        + "1;Kari;Nordmann;Kari@NORDLYS.example;;;;\n"  # takes over the person who had no external id
        + "2;Per;Nordmann;kari@nordlys.example;;;;\n"  # another person at the same address
        + ";K;N;kari@nordlys.example;;;;\n"  # no external id: the oldest one there
    )
    assert (done.created, done.updated) == (1, 2)
    persons = await house.rows("SELECT external_id, name FROM person ORDER BY id")
    assert persons == [("1", "K N"), ("2", "Per Nordmann")]


async def test_fill_empty_fills_and_skip_leaves_alone(house):
    await house.bring_in(HEADINGS + "1;Kari;;;;;nei;0\n")
    changes = HEADINGS + KARI + "2;Ola;;;;;ja;1\n"
    filled = await house.bring_in(changes.replace("Kari", "Karin"), existing="fill_empty")
    assert (filled.created, filled.updated) == (1, 1)
    person = "SELECT first_name, email, cellphone FROM person WHERE external_id = '1'"
    state = (
        "SELECT s.given, b.subscribed FROM person AS p JOIN consent_state AS s ON s.person_id = p.id "
        "JOIN subscription AS b ON b.person_id = p.id WHERE external_id = '1'"
    )
    assert await house.rows(person) == [("Kari", "kari@nordlys.example", "+4791234567")]
    assert await house.rows(state) == [(False, False)]
    skipped = await house.bring_in(changes.replace("Kari", "Katrin"), existing="skip")
    assert (skipped.created, skipped.updated, skipped.result["unchanged"]) == (0, 0, 2)
    assert await house.rows(person) == [("Kari", "kari@nordlys.example", "+4791234567")]
    assert await house.rows(state) == [(False, False)]


async def test_empty_and_invalid_cells_take_nothing_away(house):
    await house.bring_in(HEADINGS + KARI)
    done = await house.bring_in(HEADINGS + "1;;;no address;12;;;\n")
    assert done.codes == {"invalid_email": 1, "invalid_phone": 1}
    assert (done.updated, done.result["unchanged"]) == (0, 1)
    person = await house.rows("SELECT name, email, email_key, cellphone FROM person")
    assert person == [("Kari Nordmann", "kari@nordlys.example", "kari@nordlys.example", "+4791234567")]


async def test_a_stale_yes_does_not_override_what_the_person_refused_since(house):
    await house.bring_in(HEADINGS + KARI)
    person_id = await house.one("SELECT id FROM person")
    async with house.database.begin() as session:
        await consent.unsubscribe(session, person_id=person_id, subscription_type_id=None, source="page")
    again = await house.bring_in(HEADINGS + KARI)
    assert again.codes == {"refused_since": 2}
    assert {field for _, field, _, _ in again.problems} == {"consent", "subscription:Nyhetsbrev"}
    assert await house.one("SELECT given FROM consent_state") is False
    assert await house.one("SELECT subscribed FROM subscription") is False
    dated = await house.bring_in(
        HEADINGS + KARI, consent_basis="consent", consent_source="fair", consent_date="2020-01-01"
    )
    assert dated.codes == {"refused_since": 2}
    assert await house.one("SELECT count(*) FROM consent") == 2


@pytest.mark.parametrize("is_noted", [False, True], ids=["not noted yet", "noted in the ledger"])
async def test_a_yes_that_ran_out_is_not_brought_back_by_a_yes_without_a_newer_date(house, is_noted):
    """D20, D21: what the file's yes was given for may be the very consent that ran out."""
    stated = {"consent_basis": "consent", "consent_source": "fair"}
    await house.bring_in(HEADINGS + KARI, **stated, consent_date="2025-03-01")
    await house.rows("UPDATE consent_state SET valid_until = '2026-03-01' RETURNING 1")
    if is_noted:
        async with house.database.begin() as session:
            assert await expire(session) == 1
    ledger = await house.one("SELECT count(*) FROM consent")
    undated = await house.bring_in(HEADINGS + KARI)
    older = await house.bring_in(HEADINGS + KARI, **stated, consent_date="2026-02-28")
    assert (undated.codes, older.codes) == ({"ran_out": 1}, {"ran_out": 1})
    assert await house.one("SELECT count(*) FROM consent") == ledger
    newer = await house.bring_in(HEADINGS + KARI, **stated, consent_date="2026-03-02")
    assert newer.codes == {}
    assert await house.one("SELECT given AND valid_until IS NULL FROM consent_state") is True


async def test_a_no_in_one_file_may_be_a_yes_in_the_next(house):
    await house.bring_in(HEADINGS + KARI.replace("ja;1", "nei;0"))
    done = await house.bring_in(HEADINGS + KARI)
    assert done.problems == []
    assert await house.one("SELECT given FROM consent_state") is True
    assert await house.one("SELECT subscribed FROM subscription") is True


async def test_a_statement_of_consent_is_recorded_for_all_but_those_who_said_no(house):
    done = await house.bring_in(
        HEADINGS + KARI.replace("ja", "") + KARI.replace("1;Kari", "2;Ola").replace("ja", "nei"),
        consent_basis="legitimate_interest", consent_source="fair in Bodø", consent_date="2026-01-02",
    )  # fmt: skip
    assert done.created == 2
    lines = await house.rows(
        "SELECT p.external_id, c.action, c.legal_basis, c.source, cast(c.valid_from AS date)::text "
        "FROM consent AS c JOIN person AS p ON p.id = c.person_id ORDER BY 1"
    )
    assert lines[0] == ("1", "given", "legitimate_interest", "fair in Bodø", "2026-01-02")
    assert lines[1][:2] == ("2", "withdrawn")


async def test_every_person_of_the_file_becomes_a_member_of_the_selection(house):
    [(selection_id,)] = await house.rows("INSERT INTO selection (name) VALUES ('Fair') RETURNING id")
    await house.bring_in(HEADINGS + KARI)
    await house.bring_in(HEADINGS + KARI + "2;Ola;;;;;;\n;;;;;;;\n", selection_id=selection_id, existing="skip")
    assert await house.one("SELECT count(*) FROM selection_member") == 2


async def test_a_mapping_is_followed(house):
    done = await house.bring_in(
        "a;b;c\nKari;kari@nordlys.example;x\n", mapping={"1": "name", "b": "email", "c": "ignore"}
    )
    assert (done.state, done.created) == ("succeeded", 1)
    assert await house.rows("SELECT name, email FROM person") == [("Kari", "kari@nordlys.example")]


@pytest.mark.parametrize(
    ("content", "mapping", "code"),
    [
        (b"a;b\nKari;x\n", {"1": "shoe"}, "invalid_mapping"),
        (b"PK\x03\x04 no workbook", None, "damaged_file"),
        (b"The quick brown fox\njumps over\nthe lazy dog\n", None, "no_addresses"),
        (b"\n" * 300, None, "empty_file"),
    ],
)
async def test_a_file_that_cannot_be_imported_fails_the_operation_and_changes_nothing(house, content, mapping, code):
    done = await house.bring_in(content, mapping=mapping)
    assert done.state == "failed"
    assert done.error["code"] == code
    assert (done.rows, done.problems) == (0, [])
    assert await house.one("SELECT count(*) FROM person") == 0
    assert await house.one("SELECT count(*) FROM outbox WHERE job = 'import.run'") == 0


async def test_a_cancelled_import_keeps_what_it_did_and_stops(house):
    import_id = await house.start((DATA / "persons-2000.csv").read_bytes())
    operation_id = await house.one("SELECT operation_id FROM import WHERE id = :id", id=import_id)
    async with house.database.begin() as session:
        await cancel_operation(session, operation_id=operation_id)
    await house.run()
    done = await house.counted(import_id)
    assert (done.state, done.rows, done.file_id) == ("cancelled", 0, None)
    assert await house.one("SELECT count(*) FROM outbox WHERE job = 'import.run'") == 0


async def test_a_stopping_worker_hands_the_import_over_and_the_next_one_ends_it(house):
    import_id = await house.start((DATA / "persons-2000.csv").read_bytes())
    house.context.stopping.set()
    await house.run()
    half = await house.counted(import_id)
    assert (half.state, half.rows, half.done) == ("running", 1000, 1000)
    house.context.stopping.clear()
    await house.run()
    done = await house.counted(import_id)
    assert (done.state, done.rows, done.created, done.updated) == ("succeeded", 2000, 2000, 0)
    assert await house.one("SELECT count(*) FROM outbox WHERE job = 'import.run'") == 0


async def test_an_import_whose_worker_dies_goes_on_where_it_stood(real_house):
    content = (DATA / "contacts-5000.xlsx").read_bytes()
    import_id = await real_house.start(content, name="contacts.xlsx")
    job_id = await real_house.one("SELECT id FROM outbox WHERE job = 'import.run'")
    working = asyncio.create_task(run_job(real_house.context, {Job.IMPORT_RUN: run_import}, job_id))
    await real_house.wait_for("SELECT rows > 0 FROM import WHERE id = :id", id=import_id)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    half = await real_house.counted(import_id)
    assert 0 < half.rows < 5000
    assert await real_house.one("SELECT count(*) FROM person") == half.created
    async with real_house.database.begin() as session:
        await session.exec(text("UPDATE outbox SET lease_until = NULL"))  # the dead worker's lease runs out
    await real_house.run()
    done = await real_house.counted(import_id)
    assert (done.state, done.rows, done.created, done.updated) == ("succeeded", 5000, 5000, 0)
    assert await real_house.one("SELECT count(*) FROM person") == 5000
    assert await real_house.one("SELECT count(*) - count(DISTINCT (row_number, field, code)) FROM import_problem") == 0
    assert await real_house.one("SELECT count(*) FROM outbox WHERE job = 'import.run'") == 0


async def test_two_workers_on_one_import_do_no_row_twice(real_house):
    import_id = await real_house.start((DATA / "persons-2000.csv").read_bytes())
    job_id = await real_house.one("SELECT id FROM outbox WHERE job = 'import.run'")
    first = asyncio.create_task(run_job(real_house.context, {Job.IMPORT_RUN: run_import}, job_id))
    await real_house.wait_for("SELECT lease_until IS NOT NULL FROM outbox")
    async with real_house.database.begin() as session:
        await session.exec(text("UPDATE outbox SET lease_until = NULL"))  # as if the first one were dead
    await asyncio.gather(first, run_job(real_house.context, {Job.IMPORT_RUN: run_import}, job_id))
    done = await real_house.counted(import_id)
    assert (done.state, done.rows, done.created, done.updated) == ("succeeded", 2000, 2000, 0)
    assert await real_house.one("SELECT count(*) FROM consent") == await real_house.one(
        "SELECT count(*) FROM consent_state"
    )
    assert await real_house.one("SELECT count(*) FROM outbox WHERE job = 'import.run'") == 0
