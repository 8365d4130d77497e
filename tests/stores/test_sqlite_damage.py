"""A SqliteStore whose file fails while it is open: moved, replaced, damaged, locked, or on a full disk."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import StoreError
from stores import sqlite
from stores.sqlite import SqliteStore
from tests.support.stored import OWNER, names, stored


@contextmanager
def broken(store: SqliteStore, reason: str) -> Iterator[None]:
    """Check that, after the body of the context, all methods fail for this reason."""
    yield
    for _ in range(2):
        for call in (
            lambda: store.put(OWNER, stored("30", "new " * 5_000)),
            lambda: store.get(OWNER, "resp_0"),
            lambda: store.delete(OWNER, "resp_0"),
        ):
            with pytest.raises(StoreError) as caught:
                call()
            assert reason in str(caught.value)
            assert str(store._file.parent) not in str(caught.value)


def test_a_file_moved_away_and_back(filled: Path) -> None:
    """Without the check of the inode, SQLite went on writing to the moved file without an error."""
    store = SqliteStore(filled)
    store.put(OWNER, stored("before"))
    away = filled.with_name("away.db")
    with broken(store, "its file is gone"):
        filled.rename(away)
    away.rename(filled)
    assert names(store) == list(range(30))
    assert store.get(OWNER, "resp_before")
    assert store.put(OWNER, stored("after"))
    store.close()


def test_a_removed_file_is_not_made_anew(filled: Path) -> None:
    """A new file would hide the loss. An operator who wants to go on without the old responses makes an empty one."""
    store = SqliteStore(filled)
    with broken(store, "its file is gone"):
        filled.unlink()
    assert not filled.exists()
    filled.touch()
    assert names(store) == []
    assert store.put(OWNER, stored("after"))
    store.close()


def test_a_replaced_file(filled: Path) -> None:
    """The first call after another file was moved into the place fails; the next one uses that file.

    The old file's journal stayed behind, and SQLite wrote it into the new file, so that both files were spoilt.
    """
    other, away = filled.with_name("other.db"), filled.with_name("away.db")
    small = SqliteStore(other)
    small.put(OWNER, stored("2"))
    small.close()
    store = SqliteStore(filled)
    store.put(OWNER, stored("before"))
    filled.rename(away)
    other.rename(filled)
    with pytest.raises(StoreError, match=r"^its file was replaced$"):
        store.put(OWNER, stored("1"))
    assert names(store) == [2]
    assert store.put(OWNER, stored("1"))
    store.close()
    for file, kept in ((filled, [1, 2]), (away, list(range(30)))):
        store = SqliteStore(file)
        assert names(store) == kept
        assert (store.get(OWNER, "resp_before") is not None) is (file == away)
        store.close()


def test_text_in_the_place_of_the_file(filled: Path) -> None:
    """What was stored just before is in the moved file, not in the journal that SQLite removes beside the text."""
    away = filled.with_name("away.db")
    store = SqliteStore(filled)
    store.put(OWNER, stored("before"))
    filled.rename(away)
    filled.write_text("garbage " * 1_000)
    for reason in ("its file was replaced", "file is not a database", "file is not a database"):
        with pytest.raises(StoreError, match=reason):
            store.get(OWNER, "resp_before")
    away.rename(filled)
    assert store.get(OWNER, "resp_before")
    assert names(store) == list(range(30))
    store.close()


def test_a_file_overwritten_while_it_is_open(filled: Path) -> None:
    copy = filled.with_name("copy.db")
    shutil.copy(filled, copy)
    store = SqliteStore(filled)
    with pytest.raises(StoreError, match=r"not a database|malformed"):
        overwrite(filled, b"garbage " * 100_000)
        store.put(OWNER, stored("1"))
        names(store)
    with broken(store, "file is not a database"):
        overwrite(filled, b"garbage " * 100_000)
    overwrite(filled, copy.read_bytes())
    assert names(store) == list(range(30))
    assert store.put(OWNER, stored("after"))
    store.close()


def test_a_file_cut_while_it_is_open(filled: Path) -> None:
    copy = filled.with_name("copy.db")
    shutil.copy(filled, copy)
    store = SqliteStore(filled)
    os.truncate(filled, filled.stat().st_size // 3)
    with pytest.raises(StoreError, match="malformed"):
        for number in range(30):
            store.get(OWNER, f"resp_{number}")
    overwrite(filled, copy.read_bytes())
    assert names(store) == list(range(30))
    store.close()


def overwrite(file: Path, content: bytes) -> None:
    """Write to the file as it is, without a new inode."""
    with file.open("r+b") as opened:
        opened.write(content)
        opened.truncate()


def test_a_damaged_response(filled: Path) -> None:
    """SQLite has no checksums: a changed byte within a value is found only when the JSON is read."""
    content = filled.read_bytes()
    place = content.index(b'{"response"')
    overwrite(filled, content[:place] + b"!" + content[place + 1 :])
    store = SqliteStore(filled)
    damaged = [number for number in range(30) if is_damaged(store, number)]
    assert len(damaged) == 1
    assert store.delete(OWNER, f"resp_{damaged[0]}")
    assert len(names(store)) == 29
    store.close()


def is_damaged(store: SqliteStore, number: int) -> bool:
    try:
        return store.get(OWNER, f"resp_{number}") is None
    except StoreError as error:
        assert str(error) == "a response in it is damaged"
        return True


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let writes beyond this size of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FULL = r"^disk I/O error$|^database or disk is full$"


def test_a_full_disk_at_start(file: Path) -> None:
    with largest_file(1_000), pytest.raises(StoreError, match=FULL):
        SqliteStore(file)
    store = SqliteStore(file)
    assert store.put(OWNER, stored("1"))
    store.close()


def test_a_full_disk(filled: Path) -> None:
    """A failed put leaves all earlier responses as they are, also those that it would have pushed out or replaced."""
    store = SqliteStore(filled, max_entries=30)
    with largest_file(50_000):
        for name in ("30", "3"):
            with pytest.raises(StoreError, match=FULL):
                store.put(OWNER, stored(name, "new " * 50_000))
            assert names(store) == list(range(30))
            assert store.get(OWNER, "resp_3") == stored("3", "3 " * 3_000)
    assert store.put(OWNER, stored("30", "new " * 50_000))
    assert names(store) == list(range(1, 30))
    assert store.get(OWNER, "resp_30") == stored("30", "new " * 50_000)
    store.close()
    SqliteStore(filled).close()


def test_a_lock_held_too_long(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that writes to the file delays a request for BUSY_S at most. Reading goes on."""
    monkeypatch.setattr(sqlite, "BUSY_S", 0.1)
    store = SqliteStore(filled)
    other = sqlite3.connect(filled, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match=r"^database is locked$"):
        store.put(OWNER, stored("30"))
    assert names(store) == list(range(30))
    other.execute("ROLLBACK")
    other.close()
    assert store.put(OWNER, stored("30"))
    store.close()
