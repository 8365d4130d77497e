"""Server-sent events that arrive in parts of any size."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.server_events import DONE, MAX_EVENT, EventReader, EventTooLong

ANSWER = (
    'data: {"text": "a\u2028b"}\r\n\r\n: a comment\nevent: x\ndata:{"text": "🙂"}\n\nerror: {"code": 500}\ndata: [DONE]'
)


@given(st.lists(st.integers(0, len(ANSWER.encode())), max_size=9))
def test_the_size_of_the_parts_changes_nothing(cuts: list[int]) -> None:
    """Parts end anywhere, also inside a character. U+2028 ends no line. The last line break may be missing."""
    content, ends = ANSWER.encode(), sorted(cuts)
    reader = EventReader()
    parts = [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]
    found = [data for part in parts for data in reader.feed(part)] + [reader.end()]
    assert found.pop() == DONE
    assert [json.loads(data) for data in found] == [{"text": "a\u2028b"}, {"text": "🙂"}, {"code": 500}]
    assert reader.end() == b""


def test_a_line_without_an_end_is_bounded() -> None:
    reader, part = EventReader(), b"x" * 2**20
    with pytest.raises(EventTooLong):
        for _ in range(MAX_EVENT // len(part) + 1):
            assert list(reader.feed(part)) == []
