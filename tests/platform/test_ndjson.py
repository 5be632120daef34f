"""Lines of JSON, cut from pieces of any size without ever holding more than one batch."""

import json
import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.platform.ndjson import BATCH_LINES, BATCH_OCTETS, LINE_LIMIT, Unreadable, _Reader

VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.dictionaries(st.text(max_size=3), st.integers()))
LINES = st.one_of(VALUES.map(lambda value: json.dumps(value).encode()), st.sampled_from([b"", b" ", b"{", b"\xff"]))


def read(body: bytes, cuts: list[int]) -> list[tuple[int, object]]:
    reader = _Reader()
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    batches = [batch for start, end in pairwise(edges) for batch in reader.take(body[start:end])]
    batches += reader.end()
    return [pair for batch in batches for pair in zip(batch.numbers, batch.items, strict=True)]


@given(st.lists(LINES, max_size=12), st.lists(st.integers(0, 200), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_do_not_depend_on_how_they_are_cut(lines, cuts, end):
    found = read(end.join(lines), cuts)
    assert [number for number, _ in found] == [number for number, line in enumerate(lines, 1) if line.strip()]
    for number, item in found:
        line = lines[number - 1]
        if line in (b"{", b"\xff"):
            assert isinstance(item, Unreadable)
        else:
            assert item == json.loads(line)


def test_a_line_of_200_megabytes_is_told_and_never_held():
    reader, piece = _Reader(), b"x" * (1 << 20)
    reader.take(b'{"a": 1}\n{"name": "')
    tracemalloc.start()
    for _ in range(200):
        assert reader.take(piece) == []
    [batch] = reader.take(b'"}\n{"b": 2}') + reader.end()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert batch.numbers == [1, 2, 3]
    assert isinstance(batch.items[1], Unreadable)
    assert "too long" in batch.items[1].detail
    assert batch.items[2] == {"b": 2}
    assert peak < 4 * LINE_LIMIT


def test_long_lines_make_short_batches():
    line = json.dumps("x" * (LINE_LIMIT // 2)).encode() + b"\n"
    reader = _Reader()
    batches = [batch for _ in range(40) for batch in reader.take(line)] + reader.end()
    assert sum(len(batch.items) for batch in batches) == 40
    assert max(len(batch.items) for batch in batches) * len(line) <= BATCH_OCTETS + LINE_LIMIT
    assert BATCH_LINES > 40


def test_a_line_at_the_limit_is_read_and_one_over_it_is_not():
    fitting = b'"' + b"x" * (LINE_LIMIT - 2) + b'"'
    for body, fits in ((fitting, True), (fitting[:-1] + b'x"', False)):
        for cuts in ([], [7, LINE_LIMIT // 2]):
            [(_, item)] = read(body, cuts)
            assert isinstance(item, str) is fits
