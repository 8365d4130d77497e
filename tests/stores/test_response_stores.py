"""The contract of response stores, for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.memory import MemoryStore
from stores.sqlite import SqliteStore
from stores.store import MAX_RESPONSE_BYTES, ResponseStore
from tests.support.stored import stored

Make = Callable[[int, int], ResponseStore]  # from the bounds in bytes and in entries
OWNERS = ("", "a" * 64, "b" * 64)


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """A function that makes an empty store."""
    folder = tmp_path_factory.mktemp("stores")
    made: list[ResponseStore] = []

    def make(max_bytes: int, max_entries: int) -> ResponseStore:
        if request.param == "memory":
            return MemoryStore(max_bytes, max_entries)
        made.append(SqliteStore(folder / f"{len(made)}.db", max_bytes, max_entries))
        return made[-1]

    yield make
    for store in made:
        store.close()


def size(name: str, text: str) -> int:
    return len(stored(name, text).packed())


TEXTS = st.sampled_from(["", "x", "é" * 40, '🙂\ud83d\u0000\n"\\', "y" * 300, "z" * 2_000])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "get", "delete", "close"]),
        st.sampled_from(OWNERS),
        st.integers(0, 9),
        TEXTS,
    ),
    max_size=40,
)


@given(STEPS, st.integers(400, 6_000), st.integers(1, 8))
def test_a_store_does_what_a_list_does(
    make: Make, steps: list[tuple[str, str, int, str]], high: int, most: int
) -> None:
    """After any steps, a store holds exactly the newest responses within its bounds, and each under its owner only."""
    store = make(high, most)
    kept: dict[tuple[str, str], str] = {}  # the model of the store, the oldest first
    for step, owner, number, text in steps:
        key = (owner, f"resp_{number}")
        if step == "put":
            fits = size(str(number), text) <= high
            assert store.put(owner, stored(str(number), text)) is fits
            if fits:
                kept.pop(key, None)
                kept[key] = text
                while len(kept) > most or sum(size(name[5:], text) for (_, name), text in kept.items()) > high:
                    del kept[next(iter(kept))]
        elif step == "close":
            store.close()  # a file is opened again by the next call, as by a restart
        elif step == "delete":
            assert store.delete(*key) is (kept.pop(key, None) is not None)
        for owner in OWNERS:
            found = store.get(owner, key[1])
            assert found == (stored(str(number), kept[owner, key[1]]) if (owner, key[1]) in kept else None)


def test_a_response_that_takes_long_to_read_is_not_kept(make: Make) -> None:
    """A chain of responses with 2 MB of unread fields each grew to the whole store: 256 MB to read for each request."""
    store = make(64 << 20, 10)
    assert store.put("", stored("1", "x" * (MAX_RESPONSE_BYTES // 5)))
    assert not store.put("", stored("2", "x" * (MAX_RESPONSE_BYTES // 4)))
    assert store.get("", "resp_1") and store.get("", "resp_2") is None


def test_what_is_stored_is_independent_of_the_objects_given(make: Make) -> None:
    """A change to a response after `put` or `get`, as by a route that adds a field, does not change the store."""
    store = make(1 << 20, 10)
    given = stored("1")
    store.put("", given)
    given.response["output"].clear()
    found = store.get("", "resp_1")
    assert found == stored("1")
    found.input_items[0].clear()
    assert store.get("", "resp_1") == stored("1")


def test_threads_share_a_store(make: Make) -> None:
    """Requests put, read and delete at the same time. Bounds and owners hold, and the counts are right."""
    store = make(60_000, 20)

    def work(thread: int) -> None:
        owner = OWNERS[thread % 3]
        for number in range(60):
            name = f"{thread}-{number % 7}"
            text = "x" * (number * 37 % 3_000)
            assert store.put(owner, stored(name, text))
            found = store.get(owner, f"resp_{name}")
            assert found in (None, stored(name, text))  # another thread's responses may have pushed it out
            assert store.get("c" * 64, f"resp_{name}") is None
            if number % 5 == 0:
                store.delete(owner, f"resp_{name}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    names = [f"{thread}-{number}" for thread in range(6) for number in range(7)]
    left = [one for name in names for owner in OWNERS if (one := store.get(owner, f"resp_{name}"))]
    assert 0 < len(left) <= 20
    assert sum(len(one.packed()) for one in left) <= 60_000
    for one in left:
        assert any(store.delete(owner, one.id) for owner in OWNERS)
    for number in range(20):  # the counts are right after all: twenty small responses fit again
        store.put("", stored(str(number)))
    assert all(store.get("", f"resp_{number}") for number in range(20))
