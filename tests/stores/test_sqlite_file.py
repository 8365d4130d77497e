"""The file of a SqliteStore: restarts, damage at start and while it is open, full disks, locks and modes."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import StoreError
from stores import sqlite
from stores.sqlite import SqliteStore
from tests.support.started_server import ROOT
from tests.support.stored import stored

OWNER = "a" * 64
SECRET = "the caller's own words"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


@pytest.fixture
def filled(file: Path) -> Path:
    """A closed file with thirty responses of 20 KB each, on some 150 pages."""
    store = SqliteStore(file)
    for number in range(30):
        store.put(OWNER, stored(str(number), f"{number} " * 3_000))
    store.close()
    return file


def names(store: SqliteStore, count: int = 30) -> list[int]:
    """Return the numbers of the responses that can be read."""
    return [number for number in range(count) if store.get(OWNER, f"resp_{number}")]


# Restarts


def test_a_restart_loses_nothing(filled: Path) -> None:
    store = SqliteStore(filled)
    assert store.get(OWNER, "resp_7") == stored("7", "7 " * 3_000)
    assert store.get("", "resp_7") is None
    assert store.delete(OWNER, "resp_7")
    store.close()
    store = SqliteStore(filled)
    assert names(store) == [number for number in range(30) if number != 7]
    store.close()


def test_a_restart_with_a_smaller_bound_forgets_the_oldest(filled: Path) -> None:
    num_bytes = len(stored("29", "29 " * 3_000).packed())
    SqliteStore(filled, max_bytes=3 * num_bytes).close()
    store = SqliteStore(filled, max_entries=2)
    assert names(store) == [28, 29]
    store.close()


def test_a_killed_process_loses_nothing(file: Path) -> None:
    """SIGKILL leaves the journal behind; the next start reads it."""
    code = (
        "import os, sys; from pathlib import Path; from stores.sqlite import SqliteStore; "
        "from tests.support.stored import stored; store = SqliteStore(Path(sys.argv[1])); "
        f"[store.put({OWNER!r}, stored(str(number))) for number in range(20)]; os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)], cwd=ROOT, check=False).returncode == -9
    store = SqliteStore(file)
    assert names(store) == list(range(20))
    store.close()


def test_two_servers_share_a_file(file: Path) -> None:
    first, second = SqliteStore(file, max_entries=5), SqliteStore(file, max_entries=5)
    for number in range(8):
        (first, second)[number % 2].put(OWNER, stored(str(number)))
    assert names(first) == names(second) == [3, 4, 5, 6, 7]
    first.close()
    second.close()


# What others can read


def test_only_the_user_can_read_the_file(file: Path) -> None:
    """Other users of the machine cannot read conversations, also not in the journal beside the file."""
    store = SqliteStore(file)
    store.put(OWNER, stored("1"))
    files = sorted(path.name for path in file.parent.iterdir())
    assert files == ["responses.db", "responses.db-shm", "responses.db-wal"]
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}
    store.close()


def test_deleted_text_is_overwritten(file: Path) -> None:
    """DELETE is for private text, so the text must not stay in free pages of the file or in the journal."""
    store = SqliteStore(file)
    store.put(OWNER, stored("1", SECRET))
    store.put(OWNER, stored("2", SECRET * 1_000))
    assert SECRET.encode() in b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert store.delete(OWNER, "resp_1")
    assert store.delete(OWNER, "resp_2")
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in file.parent.iterdir())
    store.close()


# Files that a store does not take


def text(file: Path) -> None:
    file.write_text("dear diary, " * 1_000)


def two_bytes(file: Path) -> None:
    file.write_bytes(b"x\n")


def a_folder(file: Path) -> None:
    file.mkdir()


def a_pipe(file: Path) -> None:
    os.mkfifo(file)


def foreign(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE photos (id)")
    database.close()


def newer(file: Path) -> None:
    SqliteStore(file).close()
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()


def half(file: Path) -> None:
    fill(file)
    os.truncate(file, file.stat().st_size // 2)


def hole(file: Path) -> None:
    fill(file)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(b"\xff" * 8192)


def fill(file: Path) -> None:
    store = SqliteStore(file)
    for number in range(30):
        store.put(OWNER, stored(str(number), "x" * 9_000))
    store.close()


UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "text": (text, "file is not a database"),
    "two bytes": (two_bytes, "file is not a database"),
    "a folder": (a_folder, "Is a directory"),
    "a pipe": (a_pipe, "not a regular file"),
    "another program's": (foreign, "the database belongs to another program"),
    "another version's": (newer, "another version of this server wrote the file"),
    "half a file": (half, "database disk image is malformed"),
    "a hole": (hole, "database disk image is malformed"),
}


@pytest.mark.parametrize(("spoil", "reason"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_file_is_not_opened_and_not_changed(file: Path, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(file)
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(StoreError) as caught:
        SqliteStore(file)
    assert str(caught.value) == reason
    assert not file.is_file() or file.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^No such file or directory$"):
        SqliteStore(tmp_path / "nowhere" / "responses.db")


@contextmanager
def plain_user() -> Iterator[Path]:
    """Yield a folder of root's or of the user's. Inside the context root is nobody, since root may write anywhere."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    try:
        (folder / "read-only.db").touch(mode=0o444)
        (folder / "writable.db").touch()
        (folder / "writable.db").chmod(0o666)
        folder.chmod(0o555)
        if is_root:
            os.seteuid(65534)
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_what_the_user_may_not_write() -> None:
    """SQLite opens a file that it may not write for reading, and needs to write to the folder for its journal."""
    reasons = {"new.db": "Permission denied", "read-only.db": "Permission denied", "writable.db": "readonly database"}
    with plain_user() as folder:
        for name, reason in reasons.items():
            with pytest.raises(StoreError, match=reason):
                SqliteStore(folder / name)


def test_an_empty_file_is_taken(file: Path) -> None:
    """An operator may create the file first, to set its owner and mode."""
    file.touch()
    store = SqliteStore(file)
    assert store.put(OWNER, stored("1"))
    store.close()


# Damage while the file is open. Each call fails with StoreError, until the file is right again.


@contextmanager
def broken(store: SqliteStore, reason: str) -> Iterator[None]:
    """Check that all methods fail for this reason, before and after the body of the context."""
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
