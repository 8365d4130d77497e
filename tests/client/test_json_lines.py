"""Files of JSON lines: reading, atomic replacement, and continuing after an interruption."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.json_lines import FileError, LineError, ResumableFile, read_lines, read_objects, write_lines

lines = st.lists(
    st.text(st.characters(blacklist_characters="\n", codec="utf-8")).map(lambda text: f"<{text}>".encode())
)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.xz"])
@given(written=lines)
def test_lines_that_were_written_are_read_again(
    tmp_path_factory: pytest.TempPathFactory, name: str, written: list[bytes]
) -> None:
    """Unicode line separators inside a line do not end it."""
    path = tmp_path_factory.mktemp("lines") / name
    assert write_lines(path, written) == len(written)
    assert list(read_lines(path)) == [(line, f"{path}:{number}") for number, line in enumerate(written, 1)]


def test_blank_lines_count_in_positions_and_the_first_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\n {"a": 1} \r\n\n[]\n')
    objects = read_objects(path)
    assert next(objects) == ({"a": 1}, f"{path}:2")
    with pytest.raises(LineError, match=rf"^{path}:4: The line is no JSON\. Expected a JSON object"):
        next(objects)


def test_a_packed_file_that_breaks_off_gives_what_comes_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.xz"
    path.write_bytes(lzma.compress(b"1\n2\n")[:-30])
    with pytest.raises(FileError, match=rf"^{path}: cannot be read"):
        list(read_lines(path))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.xz"])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_lines(path, [b"old"])
    before = path.read_bytes()

    def interrupted() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lines(path, interrupted())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_growing_file_drops_a_torn_line_and_is_open_once(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.jsonl"
    with ResumableFile(path) as file:
        file.add(b"1", b"2")
        file.add(b"3")
        with pytest.raises(FileError, match=rf"^{path}: another run is writing it"):
            ResumableFile(path)
    with path.open("ab") as torn:
        torn.write(b"4")
    with ResumableFile(path) as file:
        kept = file.lines()
        assert kept == [b"1", b"2", b"3"]
        file.keep(kept[:2])
        file.add(b"5")
    assert path.read_bytes() == b"1\n2\n5\n"
