import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.content.merge_tags import (
    CATALOGUE,
    MAX_FAULTS,
    Hole,
    MergeTagError,
    escape,
    joined,
    parse,
    unparse,
)

words = st.text(st.sampled_from("[]|\"\\'() \n.abcæ&;#defaultcustomername") | st.characters(codec="utf-8"), max_size=60)
holes = st.builds(
    Hole,
    st.sampled_from(["customer.firstname", "company.extra.plan_b", "link.unsubscribe"]),
    st.none() | words,
)


def faults_of(text, **options):
    with pytest.raises(MergeTagError) as raised:
        parse(text, where="html", **options)
    return raised.value.faults


def faults_in(text, **options):
    try:
        parse(text, where="html", **options)
    except MergeTagError as error:
        return error.faults
    return ()


def test_a_tag_is_read_with_its_default_and_white_space():
    parts = parse('Hei [[ customer.firstname | default( "du" ) ]]!', where="subject").parts
    assert parts == ("Hei ", Hole("customer.firstname", "du"), "!")


@pytest.mark.parametrize(
    ("written", "default"),
    [
        ('"a]]b"', "a]]b"),
        (r'"say \"hi\" \\"', 'say "hi" \\'),
        ("'single \"'", 'single "'),
        ('""', ""),
        ('"[[customer.name]]"', "[[customer.name]]"),
    ],
)
def test_a_default_is_read_to_its_closing_quote(written, default):
    assert parse(f"[[customer.name|default({written})]]", where="text").parts == (Hole("customer.name", default),)


@pytest.mark.parametrize("quote", ["&quot;", "&#34;", "&#39;", "'", '"'])
def test_an_html_editor_may_encode_quotes_and_default(quote):
    parts = parse(f"[[&nbsp;customer.name|default({quote}R&amp;D{quote})]]", where="html", html=True).parts
    assert parts == (Hole("customer.name", "R&D"),)


def test_the_last_two_brackets_of_a_row_open_the_tag():
    assert parse("[[[customer.name]]]", where="text").parts == ("[", Hole("customer.name"), "]")


def test_literal_brackets_are_written_as_a_tag():
    assert parse('a [["[["]]b]]', where="text").parts == ("a [[b]]",)


def test_every_fault_is_reported_with_its_place_and_the_nearest_tag():
    faults = faults_of("a\n [[firstname]] [[customer.frstname]]\n[[customer.name|upper]] [[ x")
    assert [(fault.line, fault.column, fault.written) for fault in faults] == [
        (2, 2, "[[firstname]]"),
        (2, 16, "[[customer.frstname]]"),
        (3, 1, "[[customer.name|upper]]"),
        (3, 25, "[[ x"),
    ]
    assert "customer.firstname?" in faults[0].message
    assert "customer.firstname?" in faults[1].message
    assert "never closed" in faults[3].message


def test_an_unclosed_tag_does_not_hide_the_next_one():
    assert [fault.column for fault in faults_of("[[customer.name [[custmer.email]]")] == [1, 17]


def test_extra_fields_are_checked_where_they_are_known():
    known = {"customer.extra.shoe_size"}
    assert parse("[[customer.extra.shoe_size]]", where="html", extra_tags=known).tags == known
    assert "customer.extra.shoe_size?" in faults_of("[[customer.extra.shoesize]]", extra_tags=known)[0].message


def test_every_tag_of_the_catalogue_can_be_used():
    for tag in CATALOGUE:
        name = tag.name.replace("<field>", "colour").replace("<id>", "12")
        assert parse(f"[[{name}]]", where="html").parts == (Hole(name),)


@pytest.mark.parametrize(
    "hostile",
    [
        "[[",
        '[[a|default("',
        "[[a|default('\\",
        "[[customer.name|default(&quot;",
        "[[x ",
        "[[" + " " * 50,
        '[["[["]',
        "[",
    ],
)
@pytest.mark.parametrize("html", [False, True])
def test_a_hostile_megabyte_is_read_in_linear_time(hostile, html):
    # A quadratic reader would need hours; pytest's own patience is the time limit.
    text = hostile * (1_000_000 // len(hostile))
    assert len(faults_in(text, html=html)) <= MAX_FAULTS


@given(words)
def test_any_text_is_read_or_refused_with_places_inside_it(text):
    lines = text.split("\n")
    faults = faults_in(text)
    assert all(lines[fault.line - 1][fault.column - 1 :].startswith("[[") for fault in faults)
    assert faults or len(parse(text, where="text").filler) == len(text)


@given(words)
def test_escaped_text_comes_back_as_itself(text):
    assert "".join(map(str, parse(escape(text), where="text").parts)) == text


@given(st.lists(words | holes))
def test_what_is_written_from_parts_is_read_as_the_same_parts(parts):
    assert parse(unparse(parts), where="text").parts == joined(parts)
