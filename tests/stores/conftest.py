"""Files for tests of SqliteStore."""

from __future__ import annotations

from pathlib import Path

import pytest

from stores.sqlite import SqliteStore
from tests.support.stored import OWNER, stored


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


@pytest.fixture
def filled(file: Path) -> Path:
    """A closed file with thirty responses of 24 to 36 KB, on some 250 pages."""
    store = SqliteStore(file)
    for number in range(30):
        store.put(OWNER, stored(str(number), f"{number} " * 3_000))
    store.close()
    return file
