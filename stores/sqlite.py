"""Responses in an SQLite file, which a restart does not lose."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from core.errors import StoreError
from stores.store import MAX_RESPONSE_BYTES, ResponseStore, StoredResponse

MAX_ENTRIES = 100_000
MAX_BYTES = 256 << 20
BUSY_S = 2.0  # how long a request waits while another thread or process writes

# The two numbers in the head of a file tell whose it is: the letters "Fnry", and the version of the tables below.
_APPLICATION_ID = 0x466E7279
_VERSION = 1
# The triggers keep the totals right whatever deletes a row; a sum over all rows for each write would be slow.
_TABLES = (
    "CREATE TABLE responses (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, id TEXT NOT NULL, "
    "size INTEGER NOT NULL, packed BLOB NOT NULL, UNIQUE (owner, id))",
    "CREATE TABLE totals (entries INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0, 0)",
    "CREATE TRIGGER added AFTER INSERT ON responses "
    "BEGIN UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.size; END",
    "CREATE TRIGGER removed AFTER DELETE ON responses "
    "BEGIN UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size; END",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
_EMPTY_JOURNAL = "PRAGMA wal_checkpoint(TRUNCATE)"  # moves what it has into the file
_MALFORMED = "database disk image is malformed"  # SQLite's own text

log = logging.getLogger("functionary")


class SqliteStore(ResponseStore):
    """Keeps responses in one file, which several servers may share. After an error, the next call opens it again."""

    def __init__(self, file: Path, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        """Open the file and check all of it, or create it, readable by its user only.

        Raises StoreError if the file is damaged, belongs to another program, or cannot be written.
        """
        self._file = file
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = (0, 0)
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600))
        except OSError as error:
            raise StoreError(error.strerror) from None
        try:
            database = self._connected()
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise StoreError(_MALFORMED)
            database.execute("BEGIN IMMEDIATE")
            self._make_room(database, entries=0, size=0)
            database.execute("COMMIT")
        except (sqlite3.Error, StoreError) as error:
            self._disconnect()
            raise StoreError(str(error)) from None

    def put(self, owner: str, stored: StoredResponse) -> bool:
        packed = stored.packed()
        if len(packed) > min(self._max_bytes, MAX_RESPONSE_BYTES):
            return False
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM responses WHERE owner = ? AND id = ?", (owner, stored.id))
            self._make_room(database, entries=1, size=len(packed))
            row = (owner, stored.id, len(packed), packed)
            database.execute("INSERT INTO responses (owner, id, size, packed) VALUES (?, ?, ?, ?)", row)
            database.execute("COMMIT")
        return True

    def get(self, owner: str, response_id: str) -> StoredResponse | None:
        with self._database() as database:
            query = "SELECT packed FROM responses WHERE owner = ? AND id = ?"
            row = database.execute(query, (owner, response_id)).fetchone()
        try:
            return StoredResponse.unpacked(row[0]) if row else None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreError("a response in it is damaged") from None

    def delete(self, owner: str, response_id: str) -> bool:
        with self._database() as database:
            query = "DELETE FROM responses WHERE owner = ? AND id = ?"
            num_deleted = database.execute(query, (owner, response_id)).rowcount
            if num_deleted:
                database.execute(_EMPTY_JOURNAL)  # it has the text too
            return num_deleted > 0

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to one thread. After an error, log it and close the connection, which rolls back."""
        if not self._lock.acquire(timeout=BUSY_S):
            raise StoreError("other requests are waiting for the disk")
        try:
            yield self._connected()
        except BaseException as error:
            self._disconnect()
            if not isinstance(error, sqlite3.Error | StoreError):
                raise
            log.error("the store of responses failed: %s", error)
            raise StoreError(str(error)) from error
        finally:
            self._lock.release()

    def _connected(self) -> sqlite3.Connection:
        """Return the open connection, or a new one. The file is not created, so that its loss is noticed."""
        try:
            status = self._file.stat()
        except OSError:
            self._leave()
            raise StoreError("its file is gone") from None
        inode = (status.st_dev, status.st_ino)
        if self._connection and inode != self._inode:  # what is written to the old file would be lost
            self._leave()
            raise StoreError("its file was replaced")
        if not self._connection:
            if not stat.S_ISREG(status.st_mode):
                raise StoreError("not a regular file")
            self._inode = inode
            url = f"{self._file.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(
                url, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            _prepare(self._connection)
        return self._connection

    def _leave(self) -> None:
        """Move what is in the journal into the file, which is no longer in its place.

        SQLite does not do so when it closes a moved file, and would write the journal into the file that replaced it.
        """
        if self._connection:
            with suppress(sqlite3.Error):
                self._connection.execute(_EMPTY_JOURNAL)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _make_room(self, database: sqlite3.Connection, *, entries: int, size: int) -> None:
        """Delete the oldest responses until this many more fit."""
        while True:
            total_entries, total_bytes = database.execute("SELECT entries, bytes FROM totals").fetchone()
            if total_entries + entries <= self._max_entries and total_bytes + size <= self._max_bytes:
                return
            query = "DELETE FROM responses WHERE number = (SELECT min(number) FROM responses)"
            if not database.execute(query).rowcount:
                raise StoreError(_MALFORMED)


def _prepare(database: sqlite3.Connection) -> None:
    """Check whose file it is, create the tables in an empty file, and set how SQLite writes."""
    if _signature(database) != (_APPLICATION_ID, _VERSION):
        database.execute("BEGIN IMMEDIATE")
        if _signature(database) != (_APPLICATION_ID, _VERSION):  # another process may have created the tables meanwhile
            if _signature(database)[0] == _APPLICATION_ID:
                raise StoreError("another version of this server wrote the file")
            if _signature(database) != (0, 0) or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreError("the database belongs to another program")
            for statement in _TABLES:
                database.execute(statement)
        database.execute("COMMIT")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")  # with WAL, a power cut loses the last writes only
    database.execute("PRAGMA secure_delete = ON")  # the text of a deleted response is overwritten
    database.execute("PRAGMA journal_size_limit = 4194304")  # one large response would leave as large a journal


def _signature(database: sqlite3.Connection) -> tuple[int, int]:
    """Return the application's id and the version from the head of the file; (0, 0) for an empty file."""
    (application_id,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return application_id, version
