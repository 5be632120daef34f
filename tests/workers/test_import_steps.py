"""What an import does before and beside importing: waiting, trying out, expiring, going to a mailing."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.audience import import_reading, imports
from app.audience.errors import ImportNotWaiting, InvalidImport, MailingNotDraft
from app.audience.import_schemas import ImportPatch
from app.platform.operations import cancel_operation
from tests.workers.import_house import DATA, HEADINGS, KARI

ADDRESS_BOOK = (
    "person", "person_email", "company", "consent", "consent_state", "subscription", "subscription_type",
    "selection_member", "extra_field", "mailing_source", "source_address",
)  # fmt: skip


async def snapshot(house):
    return {table: await house.rows(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in ADDRESS_BOOK}


async def state_of(house, import_id):
    [row] = await house.rows("SELECT state, dry_run, fault, detected, file_id FROM import WHERE id = :id", id=import_id)
    return row


async def test_an_import_that_is_not_to_start_is_looked_at_and_waits(house):
    import_id = await house.start((DATA / "persons-2000.csv").read_bytes(), start=False)
    await house.run()
    state, _, fault, detected, file_id = await state_of(house, import_id)
    assert (state, fault) == ("waiting", None)
    assert file_id is not None
    assert await house.one("SELECT count(*) FROM person") == 0
    assert (detected["encoding"], detected["delimiter"], detected["heading_row"]) == ("cp1252", ";", 1)
    email = detected["columns"][3]
    assert (email["heading"], email["field"], email["confidence"]) == ("E-post", "email", "heading")
    assert email["samples"][0] == "jannie.christensenalfa.example.com"
    assert (await house.counted(import_id)).rows == 0


async def test_a_waiting_import_is_corrected_and_started(house):
    content = "a;b;c\nKari;kari@nordlys.example;blå\n".encode("cp1252")
    import_id = await house.start(content, start=False)
    await house.run()
    _, _, fault, _, _ = await state_of(house, import_id)
    assert fault is None or fault["code"]
    async with house.database.begin() as session:
        patch = ImportPatch(mapping={"a": "name", "b": "email", "c": "shoe"})
        await imports.change_import(session, import_id=import_id, patch=patch)
    await house.run()
    state, _, fault, _, _ = await state_of(house, import_id)
    assert (state, fault["code"]) == ("waiting", "invalid_mapping")
    async with house.database.begin() as session:
        with pytest.raises(ImportNotWaiting):
            await imports.start_waiting(session, import_id=import_id, dry_run=False)
        patch = ImportPatch(mapping={"a": "name", "b": "email", "c": "extra.eyes"}, encoding="windows-1252")
        await imports.change_import(session, import_id=import_id, patch=patch)
    await house.run()
    async with house.database.begin() as session:
        await imports.start_waiting(session, import_id=import_id, dry_run=False)
    await house.run()
    assert await house.rows("SELECT name, email, extra FROM person") == [
        ("Kari", "kari@nordlys.example", {"eyes": "blå"})
    ]
    assert await house.rows("SELECT owner, name, kind FROM extra_field") == [("person", "eyes", "text")]
    state, _, _, _, file_id = await state_of(house, import_id)
    assert (state, file_id) == ("ended", None)
    async with house.database.begin() as session:
        with pytest.raises(ImportNotWaiting):
            await imports.start_waiting(session, import_id=import_id, dry_run=False)


async def test_a_cancelled_import_has_nothing_to_start(house):
    import_id = await house.start(HEADINGS.encode() + KARI.encode())
    operation_id = await house.one("SELECT operation_id FROM import WHERE id = :id", id=import_id)
    async with house.database.begin() as session:
        await cancel_operation(session, operation_id=operation_id)
    await house.run()
    assert (await state_of(house, import_id))[0] == "ended"


async def test_a_waiting_file_is_deleted_when_nobody_starts_it(house):
    import_id = await house.start(HEADINGS.encode() + KARI.encode(), start=False)
    await house.run()
    await house.run()
    assert (await state_of(house, import_id))[0] == "waiting"
    due = await house.one("SELECT due_at > now() + interval '23 hours' FROM outbox WHERE job = 'import.expire'")
    assert due is True
    async with house.database.begin() as session:
        await session.exec(text("UPDATE import SET expires_at = now() - interval '1 second'"))
        await session.exec(text("UPDATE outbox SET due_at = now()"))
    await house.run()
    state, _, _, detected, file_id = await state_of(house, import_id)
    assert (state, file_id) == ("ended", None)
    assert all(column["samples"] is None for column in detected["columns"])
    assert await house.one("SELECT count(*) FROM stored_piece") == 0


async def test_the_file_of_an_import_with_problems_is_kept_for_a_week_and_then_deleted(house):
    import_id = await house.start((HEADINGS + KARI + "2;Ola;;no address;;;;\n").encode())
    await house.run()
    assert (await state_of(house, import_id))[4] is not None
    assert await house.one("SELECT expires_at BETWEEN now() + interval '6 days' AND now() + interval '8 days' "
                           "FROM import WHERE id = :id", id=import_id) is True  # fmt: skip
    async with house.database.begin() as session:
        await session.exec(text("UPDATE import SET expires_at = now() - interval '1 second'"))
        await session.exec(text("UPDATE outbox SET due_at = now()"))
    await house.run()
    assert (await state_of(house, import_id))[4] is None
    assert await house.one("SELECT count(*) FROM stored_piece") == 0


@pytest.mark.parametrize("existing", ["overwrite", "fill_empty", "skip"])
@pytest.mark.parametrize("name", ["persons-2000.csv", "contacts-5000.xlsx", "recipients-300.txt"])
async def test_a_dry_run_tells_what_the_real_one_does_and_changes_nothing(house, name, existing):
    content = (DATA / name).read_bytes()
    await house.bring_in(HEADINGS + "CRM-100001;Helene;;;;;nei;\n;;;kari@nordlys.example;;;;\n")
    before = await snapshot(house)
    import_id = await house.start(content, name=name, dry_run=True, existing=existing)
    await house.run()
    told = await house.counted(import_id)
    assert await snapshot(house) == before
    assert (told.state, told.result["dry_run"]) == ("succeeded", True)
    finished = "SELECT count(*) FROM event WHERE type = 'import.finished'"
    assert await house.one(finished) == 1  # of the import before
    assert (await state_of(house, import_id))[0] == "waiting"
    async with house.database.begin() as session:
        await imports.start_waiting(session, import_id=import_id, dry_run=False)
    await house.run()
    done = await house.counted(import_id)
    assert (done.rows, done.created, done.updated, done.rejected) == (
        told.rows, told.created, told.updated, told.rejected,
    )  # fmt: skip
    assert done.problems == told.problems
    assert await snapshot(house) != before


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "1", "2", "3"]), st.sampled_from(["Kari", "Ola", ""]),
        st.sampled_from(["", "a@x.example", "b@x.example", "no address"]),
        st.sampled_from(["ja", "nei", "", "perhaps"]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


async def _try_then_do(house, first, second, existing):
    def lines(rows):
        return "Kontakt-ID;Fornavn;E-post;Samtykke\n" + "".join(";".join(row) + "\n" for row in rows)

    await house.bring_in(lines(first))
    before = await snapshot(house)
    import_id = await house.start(lines(second).encode(), dry_run=True, existing=existing)
    await house.run()
    told = await house.counted(import_id)
    assert await snapshot(house) == before
    async with house.database.begin() as session:
        await imports.start_waiting(session, import_id=import_id, dry_run=False)
    await house.run()
    done = await house.counted(import_id)
    assert (done.rows, done.created, done.updated, done.rejected, done.problems) == (
        told.rows, told.created, told.updated, told.rejected, told.problems,
    )  # fmt: skip


async def test_a_dry_run_goes_on_from_what_it_would_have_done(house, monkeypatch):
    """Rows of a later batch mean persons that an earlier one would create: here with batches of one row."""
    monkeypatch.setattr(import_reading, "FIRST_ROWS", 1)
    monkeypatch.setattr(import_reading, "BATCH_ROWS", 1)
    examples = []

    @settings(max_examples=8, database=None)
    @given(ROWS, ROWS, st.sampled_from(["overwrite", "fill_empty", "skip"]))
    def collect(first, second, existing):
        examples.append((first, second, existing))

    await asyncio.to_thread(collect)
    for first, second, existing in examples:
        async with house.database.begin() as session:
            await session.exec(text("DELETE FROM person"))
        await _try_then_do(house, first, second, existing)


async def draft(house, *, kind="email", state="draft"):
    return await house.one(
        "INSERT INTO mailing (name, type, state, subject, from_name, from_email, html, list_updated_at) "
        "VALUES ('Høstnytt', :kind, :state, '', '', '', '', now()) RETURNING id", kind=kind, state=state,
    )  # fmt: skip


async def test_rows_become_recipients_of_a_mailing_and_no_persons(house):
    """D13, D17, D18, D20: in the file's order, invalid addresses kept, a no left out, consent in the ledger."""
    await house.bring_in("E-post;Navn\nper@nordlys.example;Per\n")
    persons = await house.one("SELECT count(*) FROM person")
    mailing_id = await draft(house)
    done = await house.bring_in(
        "Navn;E-post;Samtykke;Mobil\nKari Nordmann;kari@nordlys.example;;91234567\nOla;no address;;+46 70 123 45 67\n"
        "Per;Per@nordlys.example;;\nNina;nina@nordlys.example;nei;\nIngen;;;\n"
        "Kari igjen;kari@nordlys.example;;12\n",
        name="fair.csv", mailing_id=mailing_id, consent_basis="consent", consent_source="fair in Bodø",
        consent_date="2026-01-02",
    )  # fmt: skip
    assert (done.state, done.rows, done.created, done.rejected) == ("succeeded", 6, 4, 2)
    assert await house.one("SELECT count(*) FROM person") == persons
    source = await house.rows("SELECT kind, label, mailing_id, consent_basis, consent_source FROM mailing_source")
    assert source == [("import", "fair.csv", mailing_id, "consent", "fair in Bodø")]
    assert await house.rows("SELECT position, name, email, email_key, mobile FROM source_address ORDER BY 1") == [
        (2, "Kari Nordmann", "kari@nordlys.example", "kari@nordlys.example", "+4791234567"),
        (3, "Ola", "no address", None, "+46701234567"),
        (4, "Per", "Per@nordlys.example", "per@nordlys.example", None),
        (7, "Kari igjen", "kari@nordlys.example", "kari@nordlys.example", None),
    ]
    ledger = await house.rows("SELECT person_id, email_key, action, legal_basis, source FROM consent")
    assert ledger == [(None, "kari@nordlys.example", "given", "consent", "fair in Bodø")]
    assert done.codes == {"invalid_email": 1, "said_no": 1, "no_address": 1, "invalid_phone": 1}
    jobs = await house.rows("SELECT args FROM outbox WHERE job = 'list.update'")
    assert jobs == [({"mailing": mailing_id},)]
    assert await house.one("SELECT list_updated_at FROM mailing WHERE id = :id", id=mailing_id) is None


async def test_a_dry_run_for_a_mailing_changes_nothing(house):
    mailing_id = await draft(house)
    before = await snapshot(house)
    import_id = await house.start(
        b"Navn;E-post\nKari;kari@nordlys.example\nIngen;\n", mailing_id=mailing_id, dry_run=True
    )
    await house.run()
    told = await house.counted(import_id)
    assert (told.rows, told.created, told.rejected) == (2, 1, 1)
    assert await snapshot(house) == before
    assert await house.one("SELECT count(*) FROM outbox WHERE job = 'list.update'") == 0


@pytest.mark.parametrize("kind", ["document", "form_response"])
async def test_import_is_not_available_for_documents(house, kind):  # D20
    mailing_id = await draft(house, kind=kind)
    with pytest.raises(InvalidImport, match=kind):
        await house.start(KARI.encode(), mailing_id=mailing_id)


async def test_a_scheduled_mailing_takes_recipients_and_its_list_follows(house):
    """D17: until sending starts."""
    mailing_id = await draft(house, state="scheduled")
    await house.bring_in("E-post\nkari@nordlys.example\n", mailing_id=mailing_id)
    assert await house.one("SELECT count(*) FROM source_address") == 1
    assert await house.one("SELECT list_updated_at FROM mailing WHERE id = :id", id=mailing_id) is None
    assert await house.one("SELECT count(*) FROM outbox WHERE job = 'list.update'") == 1


async def test_a_mailing_takes_recipients_only_until_it_is_sent(house):
    with pytest.raises(MailingNotDraft):
        await house.start(KARI.encode(), mailing_id=await draft(house, state="finished"))
    mailing_id = await draft(house)
    import_id = await house.start(b"E-post\nkari@nordlys.example\n", mailing_id=mailing_id)
    async with house.database.begin() as session:
        await session.exec(text("UPDATE mailing SET state = 'finished'"))
    await house.run()
    done = await house.counted(import_id)
    assert (done.state, done.error["code"], done.rows) == ("failed", "mailing_not_draft", 0)
    assert await house.one("SELECT count(*) FROM source_address") == 0


async def test_a_deleted_mailing_never_turns_its_recipients_into_persons(house):
    mailing_id = await draft(house)
    import_id = await house.start(b"E-post\nkari@nordlys.example\n", mailing_id=mailing_id)
    await house.rows("DELETE FROM mailing WHERE id = :id RETURNING id", id=mailing_id)
    await house.run()
    done = await house.counted(import_id)
    assert (done.state, done.error["code"]) == ("failed", "mailing_not_draft")
    assert await house.one("SELECT count(*) FROM person") == 0


async def test_extra_fields_are_read_as_their_kind(house):
    for name, kind, choices in (("size", "number", []), ("born", "date", []), ("pet", "choice", ["Cat", "Dog"])):
        await house.rows(
            "INSERT INTO extra_field (owner, name, label, kind, choices) VALUES ('person', :name, :name, :kind, "
            ":choices) RETURNING id", name=name, kind=kind, choices=choices,
        )  # fmt: skip
    done = await house.bring_in(
        "E-post;Size;Born;Pet;Club\na@x.example;1 234,5;24.12.1990;cat;7\nb@x.example;large;31.2.1990;cow;\n"
    )
    extra = await house.rows("SELECT extra FROM person ORDER BY id")
    assert extra == [({"size": 1234.5, "born": "1990-12-24", "pet": "Cat", "club": "7"},), ({},)]
    assert done.codes == {"invalid_extra": 3}
    assert ("person", "club", "text") in await house.rows("SELECT owner, name, kind FROM extra_field")


async def test_a_row_finds_a_person_by_any_address_and_the_preferred_one_wins(house):
    await house.bring_in("Navn;E-post\nKari;kari@x.example\nOla;ola@x.example\n")
    await house.rows(
        "INSERT INTO person_email (person_id, email, email_key) SELECT id, 'home@x.example', 'home@x.example' "
        "FROM person WHERE name = 'Kari' RETURNING id"
    )
    await house.rows(
        "INSERT INTO person_email (person_id, email, email_key) SELECT id, 'ola@x.example', 'ola@x.example' "
        "FROM person WHERE name = 'Kari' RETURNING id"
    )
    done = await house.bring_in("E-post;By\nhome@x.example;Bodø\nola@x.example;Oslo\n")
    assert (done.created, done.updated) == (0, 2)
    assert await house.rows("SELECT name, email, city FROM person ORDER BY id") == [
        ("Kari", "kari@x.example", "Bodø"),
        ("Ola", "ola@x.example", "Oslo"),
    ]


async def test_a_file_that_names_the_person_makes_a_further_address_the_preferred_one(house):
    await house.bring_in("Kontakt-ID;E-post\n1;kari@x.example\n")
    await house.rows(
        "INSERT INTO person_email (person_id, email, email_key) SELECT id, 'home@x.example', 'home@x.example' "
        "FROM person RETURNING id"
    )
    await house.bring_in("Kontakt-ID;E-post\n1;home@x.example\n")
    assert await house.rows("SELECT email FROM person") == [("home@x.example",)]
    assert await house.rows("SELECT email FROM person_email") == [("kari@x.example",)]
