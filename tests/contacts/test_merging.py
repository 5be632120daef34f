"""Who is meant by a line, and what it changes."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from app.contacts.merging import Draft, Existing, Outcome, lay
from app.contacts.queries import BLANK_PERSON

IDS = st.sampled_from([None, "1", "2", "3"])
KEYS = st.sampled_from([None, "a@x.example", "b@x.example"])


@st.composite
def lines(draw):
    line = {}
    if external_id := draw(IDS):
        line["external_id"] = external_id
    if key := draw(KEYS):
        line["email"], line["email_key"] = key, key
    if city := draw(st.sampled_from([None, "Bodø", "Oslo"])):
        line["city"] = city
    return line


def in_batches(found: list[dict], cuts: list[int], existing: Existing) -> tuple[list[dict], list[Outcome]]:
    """Lay lines batch by batch, with what a batch left as what the next one finds."""
    drafts: list[Draft] = []
    outcomes: list[Outcome] = []
    edges = sorted({0, len(found), *(cut % (len(found) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        stored = [Draft(draft.id, dict(draft.values)) for draft in drafts]
        laid = lay(found[start:end], stored, blank=BLANK_PERSON, existing=existing, by_address=True)
        known = {draft.id: draft for draft in stored}
        for each in laid:
            if each.draft.id is None:
                each.draft.id = len(known) + 1
            known[each.draft.id] = each.draft
        drafts = list(known.values())
        outcomes += [each.outcome for each in laid]
    return [draft.values for draft in drafts], outcomes


A = {"email": "a@x.example", "email_key": "a@x.example"}


# The older person comes to the address after the younger one: the last line still means the older.
@example([{"external_id": "2"}, {"external_id": "1"} | A, {"external_id": "2"} | A, A], [3], Existing.OVERWRITE)
@given(st.lists(lines(), max_size=12), st.lists(st.integers(0, 12), max_size=4), st.sampled_from(Existing))
def test_the_result_does_not_depend_on_how_a_file_is_cut_into_batches(found, cuts, existing):
    assert in_batches(found, cuts, existing) == in_batches(found, [], existing)


@given(st.lists(lines(), max_size=12))
def test_lines_with_an_external_id_create_nobody_again(found):
    once, _ = in_batches(found, [], Existing.OVERWRITE)
    identified = [line for line in found if line.get("external_id")]
    drafts = [Draft(number, values) for number, values in enumerate(once, 1)]
    again = lay(identified, drafts, blank=BLANK_PERSON, existing=Existing.OVERWRITE, by_address=True)
    assert all(each.outcome is not Outcome.CREATED for each in again)


@given(st.lists(lines(), max_size=12), st.sampled_from(Existing))
def test_no_external_id_is_given_twice(found, existing):
    persons, _ = in_batches(found, [], existing)
    told = [person["external_id"] for person in persons if person["external_id"]]
    assert len(told) == len(set(told))
