"""The file of a SqliteStore: restarts, modes, and files that are not taken."""

from __future__ import annotations

import os
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
from stores.sqlite import SqliteStore
from tests.support.started_server import ROOT
from tests.support.stored import OWNER, names, stored

SECRET = "the caller's own words"


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
        "from tests.support.stored import OWNER, names, stored; store = SqliteStore(Path(sys.argv[1])); "
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
