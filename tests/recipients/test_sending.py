"""Who is being sent is told when it is read (D24)."""

import pytest


@pytest.fixture
async def sent(desk):
    """A list of eight in two chunks: one that a sender holds, with a window up to the fourth line, and a free one."""
    for n in range(1, 9):
        await desk.row(
            "INSERT INTO recipient (mailing_id, seq, name, email, status) VALUES (:mailing, :seq, '', :email, :status)",
            mailing=desk.mailing, seq=n, email=f"p{n}@example.com", status="sent" if n == 1 else "ready",
        )  # fmt: skip
    dispatch = await desk.row(
        "INSERT INTO dispatch (mailing_id, compiled, link_ids, last_seq) VALUES (:mailing, '{}', '{}', 8) RETURNING id",
        mailing=desk.mailing,
    )
    for number, first, last, owner, end in ((1, 1, 6, "a sender", 4), (2, 7, 8, None, 6)):
        await desk.row(
            "INSERT INTO chunk (dispatch_id, number, first_seq, last_seq, owner, window_end) "
            "VALUES (:dispatch, :number, :first, :last, :owner, :end)",
            dispatch=dispatch.id, number=number, first=first, last=last, owner=owner, end=end,
        )  # fmt: skip
    return desk


async def numbers(desk, **filters):
    return [int(line["email"][1:].partition("@")[0]) for line in await desk.listed(**filters)]


async def test_lines_inside_a_held_window_are_sending(sent):
    lines = await sent.listed()
    assert [line["status"] for line in lines] == ["sent", *["sending"] * 3, *["ready"] * 4]
    one = await sent.get(f"mailings/{sent.mailing}/recipients/{lines[1]['id']}")
    assert one["status"] == "sending"


async def test_counts_tell_them_apart_and_still_sum_to_the_size(sent):
    counts = await sent.get(f"mailings/{sent.mailing}/recipients/counts")
    assert {name: count for name, count in counts["by_status"].items() if count} == {
        "sent": 1,
        "sending": 3,
        "ready": 4,
    }
    assert sum(counts["by_status"].values()) == counts["total"] == 8
    assert (await sent.get(f"mailings/{sent.mailing}/statistics"))["recipients"] == counts


async def test_filters_by_status_tell_them_apart(sent):
    assert await numbers(sent, status="sending") == [2, 3, 4]
    assert await numbers(sent, status="ready") == [5, 6, 7, 8]
    assert await numbers(sent, status=["sent", "sending"]) == [1, 2, 3, 4]
    assert await numbers(sent, status=["ready", "sending"]) == [2, 3, 4, 5, 6, 7, 8]
    assert await numbers(sent, status="sending", q="p3@") == [3]
    assert await numbers(sent, status="blocked") == []


async def test_a_page_of_those_being_sent_goes_on(sent):
    page = await sent.get(f"mailings/{sent.mailing}/recipients", status="sending", limit=2)
    rest = await sent.get(f"mailings/{sent.mailing}/recipients", status="sending", limit=2, cursor=page["next_cursor"])
    assert [len(page["items"]), len(rest["items"]), rest["next_cursor"]] == [2, 1, None]


async def test_nobody_is_sending_once_the_chunk_is_given_back(sent):
    await sent.row("UPDATE chunk SET owner = NULL, window_end = first_seq - 1")
    assert await numbers(sent, status="sending") == []
    assert await numbers(sent, status="ready") == [2, 3, 4, 5, 6, 7, 8]
